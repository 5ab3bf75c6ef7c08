#compdef robustmq-connect robust-ctl
# Completion of robustmq-connect for zsh.
_robustmq_connect() {
  local program=${~words[1]}
  local -a line=("${(@)words[2,CURRENT-1]}") found
  # The last word is what a flag begins with, or nothing.
  if [[ $words[CURRENT] == -* ]]; then line+=("$words[CURRENT]"); else line+=(""); fi
  # A variable of the name 0 asks for descriptions beside the names.
  found=("${(@f)$(env 0=zsh $program "${line[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n $found[1] ]]; then
    _describe 'word' found
  else
    _files
  fi
}
if [[ $funcstack[1] == _robustmq-connect ]]; then
  _robustmq_connect "$@"
else
  compdef _robustmq_connect robustmq-connect robust-ctl
fi
