# bash completion for gptcli                                     -*- shell-script -*-
# Written by `gptcli completions`; changes made here are lost.

# What command $1 offers: `commands` and `flags`; fails where there is no such command.
_gptcli_names() {
    case $1 in
    gptcli)
        commands=(complete chat batch models chats cache completions doctor)
        flags=(--version --help -h)
        ;;
    'gptcli complete')
        commands=()
        flags=(--file -f --no-stdin --suffix --echo --samples --cache-prompt --show-prompt --max-tokens --n-predict -n --stop --ignore-eos --model -m --ctx-size --threads -t --threads-batch --device --gpu-layers --lora --offline --force --temperature --temp --top-k --top-p --min-p --typical-p --typical --top-n-sigma --top-nsigma --xtc-probability --xtc-threshold --dynatemp-range --dynatemp-exp --repeat-last-n --repeat-penalty --presence-penalty --frequency-penalty --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n --dry-sequence-breaker --mirostat --mirostat-tau --mirostat-ent --mirostat-eta --mirostat-lr --adaptive-target --adaptive-decay --min-keep --samplers --logit-bias -l --grammar --grammar-file --seed --format --logprobs --stats --verbose -v --quiet -q --help -h)
        ;;
    'gptcli chat')
        commands=()
        flags=(--system -s --continue -c --chat --no-save --overflow --max-tokens --n-predict -n --stop --extract -x --xl --plain --no-think --hide-thinking --no-stdin --model -m --ctx-size --threads -t --threads-batch --device --gpu-layers --lora --offline --force --temperature --temp --top-k --top-p --min-p --typical-p --typical --top-n-sigma --top-nsigma --xtc-probability --xtc-threshold --dynatemp-range --dynatemp-exp --repeat-last-n --repeat-penalty --presence-penalty --frequency-penalty --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n --dry-sequence-breaker --mirostat --mirostat-tau --mirostat-ent --mirostat-eta --mirostat-lr --adaptive-target --adaptive-decay --min-keep --samplers --logit-bias -l --grammar --grammar-file --seed --format --logprobs --stats --verbose -v --quiet -q --help -h)
        ;;
    'gptcli batch')
        commands=()
        flags=(--from --encoding --split --template --system -s --chat --row-settings --limit --sample --output -o --out-format --column --errors --unordered --overwrite --resume --logprobs --samples --parallel --deterministic --max-failures --plan --stats-file --verbose -v --quiet -q --max-tokens --n-predict -n --stop --ignore-eos --model -m --ctx-size --threads -t --threads-batch --device --gpu-layers --lora --offline --force --temperature --temp --top-k --top-p --min-p --typical-p --typical --top-n-sigma --top-nsigma --xtc-probability --xtc-threshold --dynatemp-range --dynatemp-exp --repeat-last-n --repeat-penalty --presence-penalty --frequency-penalty --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n --dry-sequence-breaker --mirostat --mirostat-tau --mirostat-ent --mirostat-eta --mirostat-lr --adaptive-target --adaptive-decay --min-keep --samplers --logit-bias -l --grammar --grammar-file --seed --help -h)
        ;;
    'gptcli models')
        commands=(pull list show search path verify rm alias default import quantize outdated)
        flags=(--help -h)
        ;;
    'gptcli models pull')
        commands=()
        flags=(--offline --quiet -q --help -h)
        ;;
    'gptcli models list')
        commands=()
        flags=(--json --catalog --help -h)
        ;;
    'gptcli models show')
        commands=()
        flags=(--template --ctx-size -c --json --help -h)
        ;;
    'gptcli models search')
        commands=()
        flags=(--limit -n --offline --json --help -h)
        ;;
    'gptcli models path')
        commands=()
        flags=(--help -h)
        ;;
    'gptcli models verify')
        commands=()
        flags=(--quiet -q --help -h)
        ;;
    'gptcli models rm')
        commands=()
        flags=(--yes -y --help -h)
        ;;
    'gptcli models alias')
        commands=()
        flags=(--remove --help -h)
        ;;
    'gptcli models default')
        commands=()
        flags=(--help -h)
        ;;
    'gptcli models import')
        commands=()
        flags=(--name --quiet -q --help -h)
        ;;
    'gptcli models quantize')
        commands=()
        flags=(--name --requantize --quiet -q --help -h)
        ;;
    'gptcli models outdated')
        commands=()
        flags=(--offline --json --help -h)
        ;;
    'gptcli chats')
        commands=(list show search export rename rm)
        flags=(--help -h)
        ;;
    'gptcli chats list')
        commands=()
        flags=(--json --help -h)
        ;;
    'gptcli chats show')
        commands=()
        flags=(--all --json --help -h)
        ;;
    'gptcli chats search')
        commands=()
        flags=(--json --help -h)
        ;;
    'gptcli chats export')
        commands=()
        flags=(--format --help -h)
        ;;
    'gptcli chats rename')
        commands=()
        flags=(--help -h)
        ;;
    'gptcli chats rm')
        commands=()
        flags=(--yes -y --help -h)
        ;;
    'gptcli cache')
        commands=(list clear)
        flags=(--help -h)
        ;;
    'gptcli cache list')
        commands=()
        flags=(--json --help -h)
        ;;
    'gptcli cache clear')
        commands=()
        flags=(--help -h)
        ;;
    'gptcli completions')
        commands=(show install)
        flags=(--help -h)
        ;;
    'gptcli completions show')
        commands=()
        flags=(--help -h)
        ;;
    'gptcli completions install')
        commands=()
        flags=(--help -h)
        ;;
    'gptcli doctor')
        commands=()
        flags=(--help -h)
        ;;
    *) return 1 ;;
    esac
}

# What the flag $2 of command $1 takes: `kind` and `words`; fails where it takes nothing.
_gptcli_flag() {
    case $1:$2 in
    'gptcli complete:--file' | 'gptcli complete:-f') kind='file' ;;
    'gptcli complete:--suffix') kind='text' ;;
    'gptcli complete:--samples') kind='text' ;;
    'gptcli complete:--max-tokens' | 'gptcli complete:--n-predict' | 'gptcli complete:-n') kind='text' ;;
    'gptcli complete:--stop') kind='text' ;;
    'gptcli complete:--model' | 'gptcli complete:-m') kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli complete:--ctx-size') kind='text' ;;
    'gptcli complete:--threads' | 'gptcli complete:-t') kind='text' ;;
    'gptcli complete:--threads-batch') kind='text' ;;
    'gptcli complete:--device') kind='word' words=(auto cpu metal cuda) ;;
    'gptcli complete:--gpu-layers') kind='text' ;;
    'gptcli complete:--lora') kind='file' ;;
    'gptcli complete:--temperature' | 'gptcli complete:--temp') kind='text' ;;
    'gptcli complete:--top-k') kind='text' ;;
    'gptcli complete:--top-p') kind='text' ;;
    'gptcli complete:--min-p') kind='text' ;;
    'gptcli complete:--typical-p' | 'gptcli complete:--typical') kind='text' ;;
    'gptcli complete:--top-n-sigma' | 'gptcli complete:--top-nsigma') kind='text' ;;
    'gptcli complete:--xtc-probability') kind='text' ;;
    'gptcli complete:--xtc-threshold') kind='text' ;;
    'gptcli complete:--dynatemp-range') kind='text' ;;
    'gptcli complete:--dynatemp-exp') kind='text' ;;
    'gptcli complete:--repeat-last-n') kind='text' ;;
    'gptcli complete:--repeat-penalty') kind='text' ;;
    'gptcli complete:--presence-penalty') kind='text' ;;
    'gptcli complete:--frequency-penalty') kind='text' ;;
    'gptcli complete:--dry-multiplier') kind='text' ;;
    'gptcli complete:--dry-base') kind='text' ;;
    'gptcli complete:--dry-allowed-length') kind='text' ;;
    'gptcli complete:--dry-penalty-last-n') kind='text' ;;
    'gptcli complete:--dry-sequence-breaker') kind='text' ;;
    'gptcli complete:--mirostat') kind='text' ;;
    'gptcli complete:--mirostat-tau' | 'gptcli complete:--mirostat-ent') kind='text' ;;
    'gptcli complete:--mirostat-eta' | 'gptcli complete:--mirostat-lr') kind='text' ;;
    'gptcli complete:--adaptive-target') kind='text' ;;
    'gptcli complete:--adaptive-decay') kind='text' ;;
    'gptcli complete:--min-keep') kind='text' ;;
    'gptcli complete:--samplers') kind='text' ;;
    'gptcli complete:--logit-bias' | 'gptcli complete:-l') kind='text' ;;
    'gptcli complete:--grammar') kind='text' ;;
    'gptcli complete:--grammar-file') kind='file' ;;
    'gptcli complete:--seed') kind='text' ;;
    'gptcli complete:--format') kind='word' words=(text json jsonl) ;;
    'gptcli complete:--logprobs') kind='text' ;;
    'gptcli chat:--system' | 'gptcli chat:-s') kind='text' ;;
    'gptcli chat:--chat') kind='text' ;;
    'gptcli chat:--overflow') kind='word' words=(ask refuse oldest summarize) ;;
    'gptcli chat:--max-tokens' | 'gptcli chat:--n-predict' | 'gptcli chat:-n') kind='text' ;;
    'gptcli chat:--stop') kind='text' ;;
    'gptcli chat:--model' | 'gptcli chat:-m') kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli chat:--ctx-size') kind='text' ;;
    'gptcli chat:--threads' | 'gptcli chat:-t') kind='text' ;;
    'gptcli chat:--threads-batch') kind='text' ;;
    'gptcli chat:--device') kind='word' words=(auto cpu metal cuda) ;;
    'gptcli chat:--gpu-layers') kind='text' ;;
    'gptcli chat:--lora') kind='file' ;;
    'gptcli chat:--temperature' | 'gptcli chat:--temp') kind='text' ;;
    'gptcli chat:--top-k') kind='text' ;;
    'gptcli chat:--top-p') kind='text' ;;
    'gptcli chat:--min-p') kind='text' ;;
    'gptcli chat:--typical-p' | 'gptcli chat:--typical') kind='text' ;;
    'gptcli chat:--top-n-sigma' | 'gptcli chat:--top-nsigma') kind='text' ;;
    'gptcli chat:--xtc-probability') kind='text' ;;
    'gptcli chat:--xtc-threshold') kind='text' ;;
    'gptcli chat:--dynatemp-range') kind='text' ;;
    'gptcli chat:--dynatemp-exp') kind='text' ;;
    'gptcli chat:--repeat-last-n') kind='text' ;;
    'gptcli chat:--repeat-penalty') kind='text' ;;
    'gptcli chat:--presence-penalty') kind='text' ;;
    'gptcli chat:--frequency-penalty') kind='text' ;;
    'gptcli chat:--dry-multiplier') kind='text' ;;
    'gptcli chat:--dry-base') kind='text' ;;
    'gptcli chat:--dry-allowed-length') kind='text' ;;
    'gptcli chat:--dry-penalty-last-n') kind='text' ;;
    'gptcli chat:--dry-sequence-breaker') kind='text' ;;
    'gptcli chat:--mirostat') kind='text' ;;
    'gptcli chat:--mirostat-tau' | 'gptcli chat:--mirostat-ent') kind='text' ;;
    'gptcli chat:--mirostat-eta' | 'gptcli chat:--mirostat-lr') kind='text' ;;
    'gptcli chat:--adaptive-target') kind='text' ;;
    'gptcli chat:--adaptive-decay') kind='text' ;;
    'gptcli chat:--min-keep') kind='text' ;;
    'gptcli chat:--samplers') kind='text' ;;
    'gptcli chat:--logit-bias' | 'gptcli chat:-l') kind='text' ;;
    'gptcli chat:--grammar') kind='text' ;;
    'gptcli chat:--grammar-file') kind='file' ;;
    'gptcli chat:--seed') kind='text' ;;
    'gptcli chat:--format') kind='word' words=(text json jsonl) ;;
    'gptcli chat:--logprobs') kind='text' ;;
    'gptcli batch:--from') kind='text' ;;
    'gptcli batch:--encoding') kind='text' ;;
    'gptcli batch:--split') kind='text' ;;
    'gptcli batch:--template') kind='file' ;;
    'gptcli batch:--system' | 'gptcli batch:-s') kind='text' ;;
    'gptcli batch:--row-settings') kind='text' ;;
    'gptcli batch:--limit') kind='text' ;;
    'gptcli batch:--sample') kind='text' ;;
    'gptcli batch:--output' | 'gptcli batch:-o') kind='file' ;;
    'gptcli batch:--out-format') kind='word' words=(openai simple table files) ;;
    'gptcli batch:--column') kind='text' ;;
    'gptcli batch:--errors') kind='file' ;;
    'gptcli batch:--logprobs') kind='text' ;;
    'gptcli batch:--samples') kind='text' ;;
    'gptcli batch:--parallel') kind='text' ;;
    'gptcli batch:--max-failures') kind='text' ;;
    'gptcli batch:--stats-file') kind='file' ;;
    'gptcli batch:--max-tokens' | 'gptcli batch:--n-predict' | 'gptcli batch:-n') kind='text' ;;
    'gptcli batch:--stop') kind='text' ;;
    'gptcli batch:--model' | 'gptcli batch:-m') kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli batch:--ctx-size') kind='text' ;;
    'gptcli batch:--threads' | 'gptcli batch:-t') kind='text' ;;
    'gptcli batch:--threads-batch') kind='text' ;;
    'gptcli batch:--device') kind='word' words=(auto cpu metal cuda) ;;
    'gptcli batch:--gpu-layers') kind='text' ;;
    'gptcli batch:--lora') kind='file' ;;
    'gptcli batch:--temperature' | 'gptcli batch:--temp') kind='text' ;;
    'gptcli batch:--top-k') kind='text' ;;
    'gptcli batch:--top-p') kind='text' ;;
    'gptcli batch:--min-p') kind='text' ;;
    'gptcli batch:--typical-p' | 'gptcli batch:--typical') kind='text' ;;
    'gptcli batch:--top-n-sigma' | 'gptcli batch:--top-nsigma') kind='text' ;;
    'gptcli batch:--xtc-probability') kind='text' ;;
    'gptcli batch:--xtc-threshold') kind='text' ;;
    'gptcli batch:--dynatemp-range') kind='text' ;;
    'gptcli batch:--dynatemp-exp') kind='text' ;;
    'gptcli batch:--repeat-last-n') kind='text' ;;
    'gptcli batch:--repeat-penalty') kind='text' ;;
    'gptcli batch:--presence-penalty') kind='text' ;;
    'gptcli batch:--frequency-penalty') kind='text' ;;
    'gptcli batch:--dry-multiplier') kind='text' ;;
    'gptcli batch:--dry-base') kind='text' ;;
    'gptcli batch:--dry-allowed-length') kind='text' ;;
    'gptcli batch:--dry-penalty-last-n') kind='text' ;;
    'gptcli batch:--dry-sequence-breaker') kind='text' ;;
    'gptcli batch:--mirostat') kind='text' ;;
    'gptcli batch:--mirostat-tau' | 'gptcli batch:--mirostat-ent') kind='text' ;;
    'gptcli batch:--mirostat-eta' | 'gptcli batch:--mirostat-lr') kind='text' ;;
    'gptcli batch:--adaptive-target') kind='text' ;;
    'gptcli batch:--adaptive-decay') kind='text' ;;
    'gptcli batch:--min-keep') kind='text' ;;
    'gptcli batch:--samplers') kind='text' ;;
    'gptcli batch:--logit-bias' | 'gptcli batch:-l') kind='text' ;;
    'gptcli batch:--grammar') kind='text' ;;
    'gptcli batch:--grammar-file') kind='file' ;;
    'gptcli batch:--seed') kind='text' ;;
    'gptcli models show:--ctx-size' | 'gptcli models show:-c') kind='text' ;;
    'gptcli models search:--limit' | 'gptcli models search:-n') kind='text' ;;
    'gptcli models import:--name') kind='text' ;;
    'gptcli models quantize:--name') kind='text' ;;
    'gptcli chats export:--format') kind='word' words=(md json) ;;
    *) return 1 ;;
    esac
}

# The same for its argument number $2.
_gptcli_argument() {
    case $1:$2 in
    'gptcli complete:'*) kind='text' ;;
    'gptcli chat:'*) kind='text' ;;
    'gptcli batch:'*) kind='file' ;;
    'gptcli models pull:'*) kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli models show:0') kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli models search:'*) kind='text' ;;
    'gptcli models path:0') kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli models verify:'*) kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli models rm:'*) kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli models alias:0') kind='text' ;;
    'gptcli models alias:1') kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli models default:0') kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli models import:0') kind='file' ;;
    'gptcli models quantize:0') kind='model' words=(smollm2 gpt2 gpt2-medium gpt2-large gpt2-xl gpt-oss-20b gpt-oss-120b smollm2-360m smollm2-1.7b qwen2.5-0.5b qwen2.5-1.5b qwen3-1.7b llama3.2-1b gemma3-1b) ;;
    'gptcli models quantize:1') kind='text' ;;
    'gptcli chats show:0') kind='text' ;;
    'gptcli chats search:'*) kind='text' ;;
    'gptcli chats export:0') kind='text' ;;
    'gptcli chats rename:0') kind='text' ;;
    'gptcli chats rename:1') kind='text' ;;
    'gptcli chats rm:'*) kind='text' ;;
    'gptcli completions show:0') kind='word' words=(bash zsh fish powershell) ;;
    'gptcli completions install:0') kind='word' words=(bash zsh fish powershell) ;;
    *) return 1 ;;
    esac
}

# Put those of `words` that begin with $1 into COMPREPLY, without the part $2 that readline will leave as it is.
_gptcli_offer() {
    local word
    for word in ${words[@]+"${words[@]}"}; do
        [[ $word == "$1"* ]] || continue
        printf -v word %q "${word#"$2"}"
        COMPREPLY+=("$word")
    done
}

# Put files into COMPREPLY: $1 is what they begin with, the rest is for compgen.
_gptcli_files() {
    local start=$1 file
    shift
    compopt -o filenames 2>/dev/null # from bash 4 on: readline quotes them and marks folders
    while IFS= read -r file; do
        [[ -n $file ]] && COMPREPLY+=("$file")
    done <<<"$(compgen "$@" -- "$start")"
}

_gptcli() {
    local line=${COMP_LINE:0:COMP_POINT} blank piece current before path=gptcli flag='' kind='' after='' i count=0
    local -a typed=() words=() commands=() flags=()
    COMPREPLY=()

    # readline also splits words at = and :, so that a flag's value or a model's tag would stand alone: join them again.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        blank=${line%%[![:space:]]*}
        line=${line#"$blank"}
        piece=${COMP_WORDS[i]}
        ((i == COMP_CWORD)) && piece=$line
        line=${line#"$piece"}
        if [[ -z $blank && ${#typed[@]} -gt 0 ]]; then
            typed[${#typed[@]} - 1]+=$piece
        else
            typed+=("$piece")
        fi
    done

    # Which command is it, after how many arguments, and does the last flag wait for its value?
    for ((i = 1; i < ${#typed[@]} - 1; i++)); do
        piece=${typed[i]}
        if [[ -n $flag ]]; then
            flag=''
        elif [[ -z $after && $piece == -- ]]; then
            after=1
        elif [[ -z $after && $piece == -?* ]]; then
            [[ $piece != *=* ]] && _gptcli_flag "$path" "$piece" && flag=$piece
        else
            _gptcli_names "$path $piece" && path+=" $piece" || ((count++))
        fi
    done

    current=${typed[${#typed[@]} - 1]}
    current=${current#[\"\']}
    before=${current%"${2#[\"\']}"}
    kind='' words=() commands=()
    if [[ -n $flag ]]; then
        _gptcli_flag "$path" "$flag"
    elif [[ -z $after && $current == --*=* ]]; then
        _gptcli_flag "$path" "${current%%=*}"
        before=${before#*=}
        current=${current#*=}
    elif [[ -z $after && $current == -* ]]; then
        _gptcli_names "$path"
        words=("${flags[@]}")
        kind=word
    else
        _gptcli_names "$path"
        _gptcli_argument "$path" "$count"
        words=(${commands[@]+"${commands[@]}"} ${words[@]+"${words[@]}"})
        kind=${kind:-word}
    fi
    case $kind in
    word) _gptcli_offer "$current" "$before" ;;
    model)
        _gptcli_offer "$current" "$before"
        _gptcli_files "$current" -f -X '!*.[gG][gG][uU][fF]'
        _gptcli_files "$current" -d
        ;;
    file) compopt -o default 2>/dev/null || _gptcli_files "$current" -f ;;
    folder) _gptcli_files "$current" -d ;;
    esac
}

complete -F _gptcli gptcli
