# Completion of robustmq-connect for fish.
function __robustmq_connect_words
    set -l line (commandline -opc)
    set -l current (commandline -ct)
    # The last word is what a flag begins with, or nothing.
    if string match -q -- '-*' $current
        set -a line $current
    else
        set -a line ''
    end
    $line --generate-bash-completion 2>/dev/null
end
function __robustmq_connect_has_words
    test (count (__robustmq_connect_words)) -gt 0
end
for program in robustmq-connect robust-ctl
    # Where nothing of ours fits, a file does.
    complete -c $program -n __robustmq_connect_has_words -f -a '(__robustmq_connect_words)'
end
