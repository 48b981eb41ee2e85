# PowerShell completion for gptcli
# Written by `gptcli completions`; changes made here are lost.

Register-ArgumentCompleter -Native -CommandName gptcli -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    # At: a command. Is and Name: what it offers. An argument's name is its number; `arguments` are all from there on.
    $rows = @(
        [pscustomobject]@{ At = 'gptcli'; Is = 'command'; Name = 'complete'; Takes = ''; Words = @(); Help = 'Continue a text: the prompt''s files, then standard input, then arguments, joined as they are.' }
        [pscustomobject]@{ At = 'gptcli'; Is = 'command'; Name = 'chat'; Takes = ''; Words = @(); Help = 'Talk with a model, or get one answer: standard input, a blank line, then the message.' }
        [pscustomobject]@{ At = 'gptcli'; Is = 'command'; Name = 'batch'; Takes = ''; Words = @(); Help = 'Answer every row of a file: JSONL (also OpenAI Batch), CSV, TSV, text, Parquet, or a folder of...' }
        [pscustomobject]@{ At = 'gptcli'; Is = 'command'; Name = 'models'; Takes = ''; Words = @(); Help = 'Pull, list, show, search, check, name, import and remove models.' }
        [pscustomobject]@{ At = 'gptcli'; Is = 'command'; Name = 'chats'; Takes = ''; Words = @(); Help = 'List, show, search, export, rename and delete saved conversations.' }
        [pscustomobject]@{ At = 'gptcli'; Is = 'command'; Name = 'cache'; Takes = ''; Words = @(); Help = 'List and clear the computed prompts that are kept on disk.' }
        [pscustomobject]@{ At = 'gptcli'; Is = 'command'; Name = 'completions'; Takes = ''; Words = @(); Help = 'Complete commands, flags and model names in bash, zsh, fish and PowerShell.' }
        [pscustomobject]@{ At = 'gptcli'; Is = 'command'; Name = 'doctor'; Takes = ''; Words = @(); Help = 'Say what is installed, what would run where, where things are kept, and what to do for a GPU.' }
        [pscustomobject]@{ At = 'gptcli'; Is = 'flag'; Name = '--version'; Takes = ''; Words = @(); Help = 'Say the version.' }
        [pscustomobject]@{ At = 'gptcli'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--file'; Takes = 'file'; Words = @(); Help = 'Read it from FILE (-: stdin); repeatable.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '-f'; Takes = 'file'; Words = @(); Help = 'Read it from FILE (-: stdin); repeatable.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--no-stdin'; Takes = ''; Words = @(); Help = 'Do not look at standard input.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--suffix'; Takes = 'text'; Words = @(); Help = 'Fill in up to TEXT.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--echo'; Takes = ''; Words = @(); Help = 'Print the prompt before the text.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--samples'; Takes = 'text'; Words = @(); Help = 'Independent texts.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--cache-prompt'; Takes = ''; Words = @(); Help = 'Keep the computed prompt on disk, for texts that begin so.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--show-prompt'; Takes = ''; Words = @(); Help = 'Show the prompt''s exact tokens on stderr.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--max-tokens'; Takes = 'text'; Words = @(); Help = 'Tokens to generate; -1: until the end.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--n-predict'; Takes = 'text'; Words = @(); Help = 'Tokens to generate; -1: until the end.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '-n'; Takes = 'text'; Words = @(); Help = 'Tokens to generate; -1: until the end.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--stop'; Takes = 'text'; Words = @(); Help = 'End before TEXT; repeatable.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--ignore-eos'; Takes = ''; Words = @(); Help = 'Go on when the model would end.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--model'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = 'Alias, USER/REPO[:QUANT], URL or a GGUF''s path.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '-m'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = 'Alias, USER/REPO[:QUANT], URL or a GGUF''s path.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--ctx-size'; Takes = 'text'; Words = @(); Help = 'Tokens a text may have. (default: what it needs)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--threads'; Takes = 'text'; Words = @(); Help = 'Threads for decoding. (default: physical cores)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '-t'; Takes = 'text'; Words = @(); Help = 'Threads for decoding. (default: physical cores)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--threads-batch'; Takes = 'text'; Words = @(); Help = 'Threads for prompts. (default: as --threads)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--device'; Takes = 'word'; Words = @('auto', 'cpu', 'metal', 'cuda'); Help = 'auto, cpu, metal, cuda or cuda:I; refused if not there.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--gpu-layers'; Takes = 'text'; Words = @(); Help = 'Layers to put on the GPU. (default: all, if there is one)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--lora'; Takes = 'file'; Words = @(); Help = 'A LoRA adapter (GGUF); repeatable.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--offline'; Takes = ''; Words = @(); Help = 'Never use the network.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--force'; Takes = ''; Words = @(); Help = 'Load even if memory seems too small.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--temperature'; Takes = 'text'; Words = @(); Help = '0 takes the likeliest token. (default: 0.8)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--temp'; Takes = 'text'; Words = @(); Help = '0 takes the likeliest token. (default: 0.8)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--top-k'; Takes = 'text'; Words = @(); Help = 'Keep the K likeliest; 0: all. (default: 40)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--top-p'; Takes = 'text'; Words = @(); Help = 'Keep the likeliest that make up P. (default: 0.95)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--min-p'; Takes = 'text'; Words = @(); Help = 'Keep those P times as likely as the first. (default: 0.05)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--typical-p'; Takes = 'text'; Words = @(); Help = 'Locally typical. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--typical'; Takes = 'text'; Words = @(); Help = 'Locally typical. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--top-n-sigma'; Takes = 'text'; Words = @(); Help = 'Keep logits within N sigma. (default: -1)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--top-nsigma'; Takes = 'text'; Words = @(); Help = 'Keep logits within N sigma. (default: -1)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--xtc-probability'; Takes = 'text'; Words = @(); Help = 'Drop the top choices. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--xtc-threshold'; Takes = 'text'; Words = @(); Help = 'Those above P. (default: 0.1)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--dynatemp-range'; Takes = 'text'; Words = @(); Help = (-join @('Temperature by entropy, ', [char]0x00B1, 'R. (default: 0)')) }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--dynatemp-exp'; Takes = 'text'; Words = @(); Help = 'Its exponent. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--repeat-last-n'; Takes = 'text'; Words = @(); Help = 'Tokens the penalties look back. (default: 64)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--repeat-penalty'; Takes = 'text'; Words = @(); Help = 'Divide repeated logits. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--presence-penalty'; Takes = 'text'; Words = @(); Help = 'Subtract once from what came. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--frequency-penalty'; Takes = 'text'; Words = @(); Help = 'Subtract each time it came. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--dry-multiplier'; Takes = 'text'; Words = @(); Help = 'DRY: against repeated runs. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--dry-base'; Takes = 'text'; Words = @(); Help = 'DRY''s base. (default: 1.75)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--dry-allowed-length'; Takes = 'text'; Words = @(); Help = 'Runs DRY lets pass. (default: 2)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--dry-penalty-last-n'; Takes = 'text'; Words = @(); Help = 'Tokens DRY looks back. (default: 64)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--dry-sequence-breaker'; Takes = 'text'; Words = @(); Help = 'Where runs end; repeatable. (default: \n : " *)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--mirostat'; Takes = 'text'; Words = @(); Help = '1 or 2: instead of all samplers. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--mirostat-tau'; Takes = 'text'; Words = @(); Help = 'Its entropy. (default: 5.0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--mirostat-ent'; Takes = 'text'; Words = @(); Help = 'Its entropy. (default: 5.0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--mirostat-eta'; Takes = 'text'; Words = @(); Help = 'Its learning rate. (default: 0.1)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--mirostat-lr'; Takes = 'text'; Words = @(); Help = 'Its learning rate. (default: 0.1)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--adaptive-target'; Takes = 'text'; Words = @(); Help = 'Adaptive-p''s aim, in --samplers. (default: -1)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--adaptive-decay'; Takes = 'text'; Words = @(); Help = 'Its memory. (default: 0.9)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--min-keep'; Takes = 'text'; Words = @(); Help = 'Tokens a sampler leaves at least. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--samplers'; Takes = 'text'; Words = @(); Help = 'Their order. (default: penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--logit-bias'; Takes = 'text'; Words = @(); Help = 'Token id or text; -inf forbids it; repeatable.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '-l'; Takes = 'text'; Words = @(); Help = 'Token id or text; -inf forbids it; repeatable.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--grammar'; Takes = 'text'; Words = @(); Help = 'A grammar the text must follow.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--grammar-file'; Takes = 'file'; Words = @(); Help = 'The same from a file.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--seed'; Takes = 'text'; Words = @(); Help = 'For the same text again. (default: random)' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--format'; Takes = 'word'; Words = @('text', 'json', 'jsonl'); Help = 'text, one JSON object, or JSON lines.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--logprobs'; Takes = 'text'; Words = @(); Help = 'Probabilities with K alternatives; JSON only.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--stats'; Takes = ''; Words = @(); Help = 'Say rates, counts and seed on stderr.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--verbose'; Takes = ''; Words = @(); Help = 'Show llama.cpp''s log.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '-v'; Takes = ''; Words = @(); Help = 'Show llama.cpp''s log.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--quiet'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '-q'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli complete'; Is = 'arguments'; Name = '0'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--system'; Takes = 'text'; Words = @(); Help = 'The system message.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '-s'; Takes = 'text'; Words = @(); Help = 'The system message.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--continue'; Takes = ''; Words = @(); Help = 'Go on with the last conversation.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '-c'; Takes = ''; Words = @(); Help = 'Go on with the last conversation.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--chat'; Takes = 'text'; Words = @(); Help = 'Go on with that one.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--no-save'; Takes = ''; Words = @(); Help = 'Keep nothing of it.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--overflow'; Takes = 'word'; Words = @('ask', 'refuse', 'oldest', 'summarize'); Help = 'When the context is full. (default: ask, or refuse in a pipe)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--max-tokens'; Takes = 'text'; Words = @(); Help = 'Tokens of an answer; -1: all.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--n-predict'; Takes = 'text'; Words = @(); Help = 'Tokens of an answer; -1: all.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '-n'; Takes = 'text'; Words = @(); Help = 'Tokens of an answer; -1: all.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--stop'; Takes = 'text'; Words = @(); Help = 'End before TEXT; repeatable.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--extract'; Takes = ''; Words = @(); Help = 'Print only the first fenced block of the answer.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '-x'; Takes = ''; Words = @(); Help = 'Print only the first fenced block of the answer.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--xl'; Takes = ''; Words = @(); Help = 'Print only the last one.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--plain'; Takes = ''; Words = @(); Help = 'No Markdown styles.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--no-think'; Takes = ''; Words = @(); Help = 'Ask a model that thinks first not to.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--hide-thinking'; Takes = ''; Words = @(); Help = 'Do not show what a model thinks before it answers.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--no-stdin'; Takes = ''; Words = @(); Help = 'Do not look at standard input.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--model'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = 'Alias, USER/REPO[:QUANT], URL or a GGUF''s path.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '-m'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = 'Alias, USER/REPO[:QUANT], URL or a GGUF''s path.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--ctx-size'; Takes = 'text'; Words = @(); Help = 'Tokens a text may have. (default: what it needs)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--threads'; Takes = 'text'; Words = @(); Help = 'Threads for decoding. (default: physical cores)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '-t'; Takes = 'text'; Words = @(); Help = 'Threads for decoding. (default: physical cores)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--threads-batch'; Takes = 'text'; Words = @(); Help = 'Threads for prompts. (default: as --threads)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--device'; Takes = 'word'; Words = @('auto', 'cpu', 'metal', 'cuda'); Help = 'auto, cpu, metal, cuda or cuda:I; refused if not there.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--gpu-layers'; Takes = 'text'; Words = @(); Help = 'Layers to put on the GPU. (default: all, if there is one)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--lora'; Takes = 'file'; Words = @(); Help = 'A LoRA adapter (GGUF); repeatable.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--offline'; Takes = ''; Words = @(); Help = 'Never use the network.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--force'; Takes = ''; Words = @(); Help = 'Load even if memory seems too small.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--temperature'; Takes = 'text'; Words = @(); Help = '0 takes the likeliest token. (default: 0.8)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--temp'; Takes = 'text'; Words = @(); Help = '0 takes the likeliest token. (default: 0.8)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--top-k'; Takes = 'text'; Words = @(); Help = 'Keep the K likeliest; 0: all. (default: 40)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--top-p'; Takes = 'text'; Words = @(); Help = 'Keep the likeliest that make up P. (default: 0.95)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--min-p'; Takes = 'text'; Words = @(); Help = 'Keep those P times as likely as the first. (default: 0.05)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--typical-p'; Takes = 'text'; Words = @(); Help = 'Locally typical. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--typical'; Takes = 'text'; Words = @(); Help = 'Locally typical. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--top-n-sigma'; Takes = 'text'; Words = @(); Help = 'Keep logits within N sigma. (default: -1)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--top-nsigma'; Takes = 'text'; Words = @(); Help = 'Keep logits within N sigma. (default: -1)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--xtc-probability'; Takes = 'text'; Words = @(); Help = 'Drop the top choices. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--xtc-threshold'; Takes = 'text'; Words = @(); Help = 'Those above P. (default: 0.1)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--dynatemp-range'; Takes = 'text'; Words = @(); Help = (-join @('Temperature by entropy, ', [char]0x00B1, 'R. (default: 0)')) }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--dynatemp-exp'; Takes = 'text'; Words = @(); Help = 'Its exponent. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--repeat-last-n'; Takes = 'text'; Words = @(); Help = 'Tokens the penalties look back. (default: 64)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--repeat-penalty'; Takes = 'text'; Words = @(); Help = 'Divide repeated logits. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--presence-penalty'; Takes = 'text'; Words = @(); Help = 'Subtract once from what came. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--frequency-penalty'; Takes = 'text'; Words = @(); Help = 'Subtract each time it came. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--dry-multiplier'; Takes = 'text'; Words = @(); Help = 'DRY: against repeated runs. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--dry-base'; Takes = 'text'; Words = @(); Help = 'DRY''s base. (default: 1.75)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--dry-allowed-length'; Takes = 'text'; Words = @(); Help = 'Runs DRY lets pass. (default: 2)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--dry-penalty-last-n'; Takes = 'text'; Words = @(); Help = 'Tokens DRY looks back. (default: 64)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--dry-sequence-breaker'; Takes = 'text'; Words = @(); Help = 'Where runs end; repeatable. (default: \n : " *)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--mirostat'; Takes = 'text'; Words = @(); Help = '1 or 2: instead of all samplers. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--mirostat-tau'; Takes = 'text'; Words = @(); Help = 'Its entropy. (default: 5.0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--mirostat-ent'; Takes = 'text'; Words = @(); Help = 'Its entropy. (default: 5.0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--mirostat-eta'; Takes = 'text'; Words = @(); Help = 'Its learning rate. (default: 0.1)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--mirostat-lr'; Takes = 'text'; Words = @(); Help = 'Its learning rate. (default: 0.1)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--adaptive-target'; Takes = 'text'; Words = @(); Help = 'Adaptive-p''s aim, in --samplers. (default: -1)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--adaptive-decay'; Takes = 'text'; Words = @(); Help = 'Its memory. (default: 0.9)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--min-keep'; Takes = 'text'; Words = @(); Help = 'Tokens a sampler leaves at least. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--samplers'; Takes = 'text'; Words = @(); Help = 'Their order. (default: penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--logit-bias'; Takes = 'text'; Words = @(); Help = 'Token id or text; -inf forbids it; repeatable.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '-l'; Takes = 'text'; Words = @(); Help = 'Token id or text; -inf forbids it; repeatable.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--grammar'; Takes = 'text'; Words = @(); Help = 'A grammar the text must follow.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--grammar-file'; Takes = 'file'; Words = @(); Help = 'The same from a file.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--seed'; Takes = 'text'; Words = @(); Help = 'For the same text again. (default: random)' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--format'; Takes = 'word'; Words = @('text', 'json', 'jsonl'); Help = 'text, one JSON object, or JSON lines.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--logprobs'; Takes = 'text'; Words = @(); Help = 'Probabilities with K alternatives; JSON only.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--stats'; Takes = ''; Words = @(); Help = 'Say rates, counts and seed on stderr.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--verbose'; Takes = ''; Words = @(); Help = 'Show llama.cpp''s log.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '-v'; Takes = ''; Words = @(); Help = 'Show llama.cpp''s log.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--quiet'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '-q'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chat'; Is = 'arguments'; Name = '0'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--from'; Takes = 'text'; Words = @(); Help = 'jsonl, csv, tsv, text, files or parquet.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--encoding'; Takes = 'text'; Words = @(); Help = 'Encoding of the input.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--split'; Takes = 'text'; Words = @(); Help = 'Split text at blank lines, NUL or this text.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--template'; Takes = 'file'; Words = @(); Help = 'The prompt, with a row''s {{ field }}s.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--system'; Takes = 'text'; Words = @(); Help = 'System prompt; implies --chat.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '-s'; Takes = 'text'; Words = @(); Help = 'System prompt; implies --chat.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--chat'; Takes = ''; Words = @(); Help = 'Send prompts as chat messages.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--row-settings'; Takes = 'text'; Words = @(); Help = 'Columns that are parameters, e.g. seed.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--limit'; Takes = 'text'; Words = @(); Help = 'Only the first N rows.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--sample'; Takes = 'text'; Words = @(); Help = 'Only N random rows, chosen by --seed.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--output'; Takes = 'file'; Words = @(); Help = 'File, or folder for files. (default: stdout)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '-o'; Takes = 'file'; Words = @(); Help = 'File, or folder for files. (default: stdout)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--out-format'; Takes = 'word'; Words = @('openai', 'simple', 'table', 'files'); Help = '(default: openai; table for CSV, files for a folder)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--column'; Takes = 'text'; Words = @(); Help = 'Name of a table''s new column.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--errors'; Takes = 'file'; Words = @(); Help = 'Write error lines to FILE.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--unordered'; Takes = ''; Words = @(); Help = 'Write rows as they end, not in input order.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--overwrite'; Takes = ''; Words = @(); Help = 'If the output exists, start again or resume. (default: resume)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--resume'; Takes = ''; Words = @(); Help = 'If the output exists, start again or resume. (default: resume)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--logprobs'; Takes = 'text'; Words = @(); Help = 'Log-probabilities of K tokens.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--samples'; Takes = 'text'; Words = @(); Help = 'Samples for each row.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--parallel'; Takes = 'text'; Words = @(); Help = 'Rows at once. (default: measured)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--deterministic'; Takes = ''; Words = @(); Help = 'One row at a time, the same bytes each time.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--max-failures'; Takes = 'text'; Words = @(); Help = 'Stop when more than N rows failed.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--plan'; Takes = ''; Words = @(); Help = 'Show the cost and write nothing.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--stats-file'; Takes = 'file'; Words = @(); Help = 'Write statistics as JSON.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--verbose'; Takes = ''; Words = @(); Help = 'Show llama.cpp''s log.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '-v'; Takes = ''; Words = @(); Help = 'Show llama.cpp''s log.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--quiet'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '-q'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--max-tokens'; Takes = 'text'; Words = @(); Help = 'Tokens to generate; -1: until the end.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--n-predict'; Takes = 'text'; Words = @(); Help = 'Tokens to generate; -1: until the end.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '-n'; Takes = 'text'; Words = @(); Help = 'Tokens to generate; -1: until the end.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--stop'; Takes = 'text'; Words = @(); Help = 'End before TEXT; repeatable.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--ignore-eos'; Takes = ''; Words = @(); Help = 'Go on when the model would end.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--model'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = 'Alias, USER/REPO[:QUANT], URL or a GGUF''s path.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '-m'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = 'Alias, USER/REPO[:QUANT], URL or a GGUF''s path.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--ctx-size'; Takes = 'text'; Words = @(); Help = 'Tokens a text may have. (default: what it needs)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--threads'; Takes = 'text'; Words = @(); Help = 'Threads for decoding. (default: physical cores)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '-t'; Takes = 'text'; Words = @(); Help = 'Threads for decoding. (default: physical cores)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--threads-batch'; Takes = 'text'; Words = @(); Help = 'Threads for prompts. (default: as --threads)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--device'; Takes = 'word'; Words = @('auto', 'cpu', 'metal', 'cuda'); Help = 'auto, cpu, metal, cuda or cuda:I; refused if not there.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--gpu-layers'; Takes = 'text'; Words = @(); Help = 'Layers to put on the GPU. (default: all, if there is one)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--lora'; Takes = 'file'; Words = @(); Help = 'A LoRA adapter (GGUF); repeatable.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--offline'; Takes = ''; Words = @(); Help = 'Never use the network.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--force'; Takes = ''; Words = @(); Help = 'Load even if memory seems too small.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--temperature'; Takes = 'text'; Words = @(); Help = '0 takes the likeliest token. (default: 0.8)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--temp'; Takes = 'text'; Words = @(); Help = '0 takes the likeliest token. (default: 0.8)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--top-k'; Takes = 'text'; Words = @(); Help = 'Keep the K likeliest; 0: all. (default: 40)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--top-p'; Takes = 'text'; Words = @(); Help = 'Keep the likeliest that make up P. (default: 0.95)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--min-p'; Takes = 'text'; Words = @(); Help = 'Keep those P times as likely as the first. (default: 0.05)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--typical-p'; Takes = 'text'; Words = @(); Help = 'Locally typical. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--typical'; Takes = 'text'; Words = @(); Help = 'Locally typical. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--top-n-sigma'; Takes = 'text'; Words = @(); Help = 'Keep logits within N sigma. (default: -1)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--top-nsigma'; Takes = 'text'; Words = @(); Help = 'Keep logits within N sigma. (default: -1)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--xtc-probability'; Takes = 'text'; Words = @(); Help = 'Drop the top choices. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--xtc-threshold'; Takes = 'text'; Words = @(); Help = 'Those above P. (default: 0.1)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--dynatemp-range'; Takes = 'text'; Words = @(); Help = (-join @('Temperature by entropy, ', [char]0x00B1, 'R. (default: 0)')) }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--dynatemp-exp'; Takes = 'text'; Words = @(); Help = 'Its exponent. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--repeat-last-n'; Takes = 'text'; Words = @(); Help = 'Tokens the penalties look back. (default: 64)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--repeat-penalty'; Takes = 'text'; Words = @(); Help = 'Divide repeated logits. (default: 1.0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--presence-penalty'; Takes = 'text'; Words = @(); Help = 'Subtract once from what came. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--frequency-penalty'; Takes = 'text'; Words = @(); Help = 'Subtract each time it came. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--dry-multiplier'; Takes = 'text'; Words = @(); Help = 'DRY: against repeated runs. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--dry-base'; Takes = 'text'; Words = @(); Help = 'DRY''s base. (default: 1.75)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--dry-allowed-length'; Takes = 'text'; Words = @(); Help = 'Runs DRY lets pass. (default: 2)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--dry-penalty-last-n'; Takes = 'text'; Words = @(); Help = 'Tokens DRY looks back. (default: 64)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--dry-sequence-breaker'; Takes = 'text'; Words = @(); Help = 'Where runs end; repeatable. (default: \n : " *)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--mirostat'; Takes = 'text'; Words = @(); Help = '1 or 2: instead of all samplers. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--mirostat-tau'; Takes = 'text'; Words = @(); Help = 'Its entropy. (default: 5.0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--mirostat-ent'; Takes = 'text'; Words = @(); Help = 'Its entropy. (default: 5.0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--mirostat-eta'; Takes = 'text'; Words = @(); Help = 'Its learning rate. (default: 0.1)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--mirostat-lr'; Takes = 'text'; Words = @(); Help = 'Its learning rate. (default: 0.1)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--adaptive-target'; Takes = 'text'; Words = @(); Help = 'Adaptive-p''s aim, in --samplers. (default: -1)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--adaptive-decay'; Takes = 'text'; Words = @(); Help = 'Its memory. (default: 0.9)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--min-keep'; Takes = 'text'; Words = @(); Help = 'Tokens a sampler leaves at least. (default: 0)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--samplers'; Takes = 'text'; Words = @(); Help = 'Their order. (default: penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--logit-bias'; Takes = 'text'; Words = @(); Help = 'Token id or text; -inf forbids it; repeatable.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '-l'; Takes = 'text'; Words = @(); Help = 'Token id or text; -inf forbids it; repeatable.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--grammar'; Takes = 'text'; Words = @(); Help = 'A grammar the text must follow.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--grammar-file'; Takes = 'file'; Words = @(); Help = 'The same from a file.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--seed'; Takes = 'text'; Words = @(); Help = 'For the same text again. (default: random)' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli batch'; Is = 'arguments'; Name = '0'; Takes = 'file'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'pull'; Takes = ''; Words = @(); Help = 'Fetch models, or what has changed of them, into the hub''s cache.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'list'; Takes = ''; Words = @(); Help = 'List the stored models: name, quantization, size, architecture, parameters, context, last used.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'show'; Takes = ''; Words = @(); Help = 'Show what a model''s file says of itself, and the memory that it takes.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'search'; Takes = ''; Words = @(); Help = 'Search the hub for repositories with GGUF files; sizes and quantizations of each.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'path'; Takes = ''; Words = @(); Help = 'Print the path of a stored model''s file, for other programs.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'verify'; Takes = ''; Words = @(); Help = 'Read every byte of stored models and say what is damaged.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'rm'; Takes = ''; Words = @(); Help = 'Delete stored models; what other models share stays.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'alias'; Takes = ''; Words = @(); Help = 'Give a model a name of your own; without arguments, list those names.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'default'; Takes = ''; Words = @(); Help = 'Say, or set, the model that is used where none is named.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'import'; Takes = ''; Words = @(); Help = 'Keep local files as models with a name, without a copy where the file system allows.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'quantize'; Takes = ''; Words = @(); Help = 'Make a smaller version of a stored model with llama.cpp''s quantizer, and keep it under a name.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'command'; Name = 'outdated'; Takes = ''; Words = @(); Help = 'List stored models whose file has changed on the hub; `pull` fetches it.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models pull'; Is = 'flag'; Name = '--offline'; Takes = ''; Words = @(); Help = 'Never use the network.' }
        [pscustomobject]@{ At = 'gptcli models pull'; Is = 'flag'; Name = '--quiet'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli models pull'; Is = 'flag'; Name = '-q'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli models pull'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models pull'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models pull'; Is = 'arguments'; Name = '0'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = '' }
        [pscustomobject]@{ At = 'gptcli models list'; Is = 'flag'; Name = '--json'; Takes = ''; Words = @(); Help = 'Print JSON.' }
        [pscustomobject]@{ At = 'gptcli models list'; Is = 'flag'; Name = '--catalog'; Takes = ''; Words = @(); Help = 'The models that can be pulled by a short name.' }
        [pscustomobject]@{ At = 'gptcli models list'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models list'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models show'; Is = 'flag'; Name = '--template'; Takes = ''; Words = @(); Help = 'Print the chat template.' }
        [pscustomobject]@{ At = 'gptcli models show'; Is = 'flag'; Name = '--ctx-size'; Takes = 'text'; Words = @(); Help = 'Say the memory for N tokens.' }
        [pscustomobject]@{ At = 'gptcli models show'; Is = 'flag'; Name = '-c'; Takes = 'text'; Words = @(); Help = 'Say the memory for N tokens.' }
        [pscustomobject]@{ At = 'gptcli models show'; Is = 'flag'; Name = '--json'; Takes = ''; Words = @(); Help = 'Print JSON.' }
        [pscustomobject]@{ At = 'gptcli models show'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models show'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models show'; Is = 'argument'; Name = '0'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = '' }
        [pscustomobject]@{ At = 'gptcli models search'; Is = 'flag'; Name = '--limit'; Takes = 'text'; Words = @(); Help = 'Repositories to show.' }
        [pscustomobject]@{ At = 'gptcli models search'; Is = 'flag'; Name = '-n'; Takes = 'text'; Words = @(); Help = 'Repositories to show.' }
        [pscustomobject]@{ At = 'gptcli models search'; Is = 'flag'; Name = '--offline'; Takes = ''; Words = @(); Help = 'Never use the network.' }
        [pscustomobject]@{ At = 'gptcli models search'; Is = 'flag'; Name = '--json'; Takes = ''; Words = @(); Help = 'Print JSON.' }
        [pscustomobject]@{ At = 'gptcli models search'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models search'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models search'; Is = 'arguments'; Name = '0'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli models path'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models path'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models path'; Is = 'argument'; Name = '0'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = '' }
        [pscustomobject]@{ At = 'gptcli models verify'; Is = 'flag'; Name = '--quiet'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli models verify'; Is = 'flag'; Name = '-q'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli models verify'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models verify'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models verify'; Is = 'arguments'; Name = '0'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = '' }
        [pscustomobject]@{ At = 'gptcli models rm'; Is = 'flag'; Name = '--yes'; Takes = ''; Words = @(); Help = 'Do not ask.' }
        [pscustomobject]@{ At = 'gptcli models rm'; Is = 'flag'; Name = '-y'; Takes = ''; Words = @(); Help = 'Do not ask.' }
        [pscustomobject]@{ At = 'gptcli models rm'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models rm'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models rm'; Is = 'arguments'; Name = '0'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = '' }
        [pscustomobject]@{ At = 'gptcli models alias'; Is = 'flag'; Name = '--remove'; Takes = ''; Words = @(); Help = 'Forget NAME; the model stays.' }
        [pscustomobject]@{ At = 'gptcli models alias'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models alias'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models alias'; Is = 'argument'; Name = '0'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli models alias'; Is = 'argument'; Name = '1'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = '' }
        [pscustomobject]@{ At = 'gptcli models default'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models default'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models default'; Is = 'argument'; Name = '0'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = '' }
        [pscustomobject]@{ At = 'gptcli models import'; Is = 'flag'; Name = '--name'; Takes = 'text'; Words = @(); Help = '(default: the file''s)' }
        [pscustomobject]@{ At = 'gptcli models import'; Is = 'flag'; Name = '--quiet'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli models import'; Is = 'flag'; Name = '-q'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli models import'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models import'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models import'; Is = 'argument'; Name = '0'; Takes = 'file'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli models quantize'; Is = 'flag'; Name = '--name'; Takes = 'text'; Words = @(); Help = '(default: the model''s and TYPE)' }
        [pscustomobject]@{ At = 'gptcli models quantize'; Is = 'flag'; Name = '--requantize'; Takes = ''; Words = @(); Help = 'Even if it is quantized already.' }
        [pscustomobject]@{ At = 'gptcli models quantize'; Is = 'flag'; Name = '--quiet'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli models quantize'; Is = 'flag'; Name = '-q'; Takes = ''; Words = @(); Help = 'Only errors on stderr.' }
        [pscustomobject]@{ At = 'gptcli models quantize'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models quantize'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models quantize'; Is = 'argument'; Name = '0'; Takes = 'model'; Words = @('smollm2', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl', 'gpt-oss-20b', 'gpt-oss-120b', 'smollm2-360m', 'smollm2-1.7b', 'qwen2.5-0.5b', 'qwen2.5-1.5b', 'qwen3-1.7b', 'llama3.2-1b', 'gemma3-1b'); Help = '' }
        [pscustomobject]@{ At = 'gptcli models quantize'; Is = 'argument'; Name = '1'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli models outdated'; Is = 'flag'; Name = '--offline'; Takes = ''; Words = @(); Help = 'Never use the network.' }
        [pscustomobject]@{ At = 'gptcli models outdated'; Is = 'flag'; Name = '--json'; Takes = ''; Words = @(); Help = 'Print JSON.' }
        [pscustomobject]@{ At = 'gptcli models outdated'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli models outdated'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats'; Is = 'command'; Name = 'list'; Takes = ''; Words = @(); Help = 'List the saved conversations, the last used first: id, name, time, messages, title.' }
        [pscustomobject]@{ At = 'gptcli chats'; Is = 'command'; Name = 'show'; Takes = ''; Words = @(); Help = 'Print a conversation.' }
        [pscustomobject]@{ At = 'gptcli chats'; Is = 'command'; Name = 'search'; Takes = ''; Words = @(); Help = 'Find messages by their words, on every branch, newest first: id, role, text around the word.' }
        [pscustomobject]@{ At = 'gptcli chats'; Is = 'command'; Name = 'export'; Takes = ''; Words = @(); Help = 'Write a conversation to standard output, as Markdown or JSON.' }
        [pscustomobject]@{ At = 'gptcli chats'; Is = 'command'; Name = 'rename'; Takes = ''; Words = @(); Help = 'Give a conversation a name.' }
        [pscustomobject]@{ At = 'gptcli chats'; Is = 'command'; Name = 'rm'; Takes = ''; Words = @(); Help = 'Delete conversations, with all their branches, for good.' }
        [pscustomobject]@{ At = 'gptcli chats'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats list'; Is = 'flag'; Name = '--json'; Takes = ''; Words = @(); Help = 'Print JSON.' }
        [pscustomobject]@{ At = 'gptcli chats list'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats list'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats show'; Is = 'flag'; Name = '--all'; Takes = ''; Words = @(); Help = 'Every branch, not only the current one.' }
        [pscustomobject]@{ At = 'gptcli chats show'; Is = 'flag'; Name = '--json'; Takes = ''; Words = @(); Help = 'Print JSON.' }
        [pscustomobject]@{ At = 'gptcli chats show'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats show'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats show'; Is = 'argument'; Name = '0'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli chats search'; Is = 'flag'; Name = '--json'; Takes = ''; Words = @(); Help = 'Print JSON.' }
        [pscustomobject]@{ At = 'gptcli chats search'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats search'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats search'; Is = 'arguments'; Name = '0'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli chats export'; Is = 'flag'; Name = '--format'; Takes = 'word'; Words = @('md', 'json'); Help = 'md: the current branch, as Markdown. json: everything that is stored.' }
        [pscustomobject]@{ At = 'gptcli chats export'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats export'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats export'; Is = 'argument'; Name = '0'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli chats rename'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats rename'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats rename'; Is = 'argument'; Name = '0'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli chats rename'; Is = 'argument'; Name = '1'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli chats rm'; Is = 'flag'; Name = '--yes'; Takes = ''; Words = @(); Help = 'Do not ask.' }
        [pscustomobject]@{ At = 'gptcli chats rm'; Is = 'flag'; Name = '-y'; Takes = ''; Words = @(); Help = 'Do not ask.' }
        [pscustomobject]@{ At = 'gptcli chats rm'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats rm'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli chats rm'; Is = 'arguments'; Name = '0'; Takes = 'text'; Words = @(); Help = '' }
        [pscustomobject]@{ At = 'gptcli cache'; Is = 'command'; Name = 'list'; Takes = ''; Words = @(); Help = 'List what is kept, the last used first: tokens, bytes, time, model, how the text begins and ends.' }
        [pscustomobject]@{ At = 'gptcli cache'; Is = 'command'; Name = 'clear'; Takes = ''; Words = @(); Help = 'Delete all of it; the next long prompts are computed again.' }
        [pscustomobject]@{ At = 'gptcli cache'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli cache'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli cache list'; Is = 'flag'; Name = '--json'; Takes = ''; Words = @(); Help = 'Print JSON.' }
        [pscustomobject]@{ At = 'gptcli cache list'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli cache list'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli cache clear'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli cache clear'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli completions'; Is = 'command'; Name = 'show'; Takes = ''; Words = @(); Help = 'Print the script.' }
        [pscustomobject]@{ At = 'gptcli completions'; Is = 'command'; Name = 'install'; Takes = ''; Words = @(); Help = 'Write the script into your folder for it, and say what is left to do.' }
        [pscustomobject]@{ At = 'gptcli completions'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli completions'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli completions show'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli completions show'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli completions show'; Is = 'argument'; Name = '0'; Takes = 'word'; Words = @('bash', 'zsh', 'fish', 'powershell'); Help = '' }
        [pscustomobject]@{ At = 'gptcli completions install'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli completions install'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli completions install'; Is = 'argument'; Name = '0'; Takes = 'word'; Words = @('bash', 'zsh', 'fish', 'powershell'); Help = '' }
        [pscustomobject]@{ At = 'gptcli doctor'; Is = 'flag'; Name = '--help'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
        [pscustomobject]@{ At = 'gptcli doctor'; Is = 'flag'; Name = '-h'; Takes = ''; Words = @(); Help = 'Show this message and exit.' }
    )

    function OfferWord($word, $type, $help, $before) {
        $inserted = $before + $word
        if ($inserted -match '[^\w\-+=:./\\]') { $inserted = "'" + ($inserted -replace "'", "''") + "'" }
        if (-not $help) { $help = $word }
        [System.Management.Automation.CompletionResult]::new($inserted, $word, $type, $help)
    }

    function OfferValue($row, $begin, $before) {
        foreach ($word in $row.Words) {
            if ($word.StartsWith($begin, [StringComparison]::Ordinal)) {
                OfferWord $word 'ParameterValue' $row.Help $before
            }
        }
        if ($row.Takes -notin @('model', 'file', 'folder')) { return }
        foreach ($file in [System.Management.Automation.CompletionCompleters]::CompleteFilename($begin)) {
            $folder = $file.ResultType -eq 'ProviderContainer'
            if ($row.Takes -eq 'folder' -and -not $folder) { continue }
            if ($row.Takes -eq 'model' -and -not $folder -and $file.ListItemText -notlike '*.gguf') { continue }
            [System.Management.Automation.CompletionResult]::new(
                $before + $file.CompletionText, $file.ListItemText, $file.ResultType, $file.ToolTip)
        }
    }

    # Which command is it, after how many arguments, and does the last flag wait for its value?
    $at = 'gptcli'
    $flag = $null
    $count = 0
    foreach ($element in @($commandAst.CommandElements | Select-Object -Skip 1)) {
        if ($element.Extent.EndOffset -ge $cursorPosition) { break }
        $text = $element.Extent.Text
        if ($flag) {
            $flag = $null
            continue
        }
        $row = $rows | Where-Object { $_.At -ceq $at -and $_.Name -ceq $text } | Select-Object -First 1
        if ($text -like '-?*') {
            if ($row -and $row.Takes) { $flag = $row }
        } elseif ($row -and $row.Is -eq 'command') {
            $at = "$at $text"
        } else {
            $count++
        }
    }

    if ($flag) {
        OfferValue $flag $wordToComplete ''
        return
    }
    if ($wordToComplete -match '^(--[^=]+)=(.*)$') {
        $name = $Matches[1]
        $begin = $Matches[2]
        foreach ($row in $rows) {
            if ($row.At -ceq $at -and $row.Name -ceq $name -and $row.Takes) { OfferValue $row $begin "$name=" }
        }
        return
    }
    foreach ($row in $rows) {
        if ($row.At -cne $at) { continue }
        if ($row.Is -eq 'argument' -or $row.Is -eq 'arguments') {
            $first = [int]$row.Name
            $here = $count -eq $first -or ($row.Is -eq 'arguments' -and $count -gt $first)
            if ($here -and $wordToComplete -notlike '-*') { OfferValue $row $wordToComplete '' }
        } elseif ($row.Name.StartsWith($wordToComplete, [StringComparison]::Ordinal)) {
            if ($row.Is -eq 'command') {
                OfferWord $row.Name 'Command' $row.Help ''
            } elseif ($wordToComplete -like '-*') {
                OfferWord $row.Name 'ParameterName' $row.Help ''
            }
        }
    }
}
