# Completion of robustmq-connect for bash.
_robustmq_connect() {
  local IFS=$'\n' current="${COMP_WORDS[COMP_CWORD]}"
  local words=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
  # The last word is what a flag begins with, or nothing.
  if [[ $current == -* ]]; then words+=("$current"); else words+=(""); fi
  # The words go to the program as they stand: nothing of them is run.
  COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]/#\~\//$HOME/}" "${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$current"))
}
complete -o bashdefault -o default -F _robustmq_connect robustmq-connect robust-ctl
