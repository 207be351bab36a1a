# Artefacts that all suites share, named by their digest: teachers, feature networks, prompts, latents, pairs.
# Snakemake deletes no `update` before its job: another workflow of these results may have made it meanwhile.


rule teacher:
    input:
        inputs("teacher"),
    output:
        [update(f"{SHARED}/teacher/{{digest}}/{name}") for name in FILES["teacher"]],
    log:
        f"{SHARED}/logs/teacher/{{digest}}.log",
    wildcard_constraints:
        digest=one_of(TRAINED),
    priority: first("teacher")
    conda:
        "../envs/sidbench.yaml"
    threads: 1
    resources:
        mem_mb=memory("teacher"),
        runtime=minutes("teacher"),
    params:
        digest=digest("teacher"),
        state=state("teacher"),
    shell:
        sidbench("prepare", quoted(SUITE), "teacher/{wildcards.digest:q}")


rule published:
    input:
        inputs("teacher"),
    output:
        [update(f"{SHARED}/teacher/{{digest}}/{name}") for name in FILES["published"]],
    log:
        f"{SHARED}/logs/teacher/{{digest}}.log",
    wildcard_constraints:
        digest=one_of(PUBLISHED),
    priority: first("teacher")
    conda:
        "../envs/sidbench.yaml"
    threads: 1
    resources:
        mem_mb=memory("teacher"),
        runtime=minutes("teacher"),
    params:
        digest=digest("teacher"),
    shell:
        sidbench("prepare", quoted(SUITE), "teacher/{wildcards.digest:q}")


rule extractor:
    input:
        inputs("extractor"),
    output:
        [update(f"{SHARED}/extractor/{{digest}}/{name}") for name in FILES["extractor"]],
    log:
        f"{SHARED}/logs/extractor/{{digest}}.log",
    priority: first("extractor")
    conda:
        "../envs/sidbench.yaml"
    threads: 1
    resources:
        mem_mb=memory("extractor"),
        runtime=minutes("extractor"),
    params:
        digest=digest("extractor"),
    shell:
        sidbench("prepare", quoted(SUITE), "extractor/{wildcards.digest:q}")


rule prompts:
    input:
        inputs("prompts"),
    output:
        [update(f"{SHARED}/prompts/{{digest}}/{name}") for name in FILES["prompts"]],
    log:
        f"{SHARED}/logs/prompts/{{digest}}.log",
    priority: first("prompts")
    conda:
        "../envs/sidbench.yaml"
    threads: cores("prompts")
    resources:
        mem_mb=memory("prompts"),
        runtime=minutes("prompts"),
        gpu=gpus("prompts"),
    params:
        digest=digest("prompts"),
    shell:
        sidbench("prepare", quoted(SUITE), "prompts/{wildcards.digest:q}", "--gpus {resources.gpu}")


rule latents:
    input:
        inputs("latents"),
    output:
        [update(f"{SHARED}/latents/{{digest}}/{name}") for name in FILES["latents"]],
    log:
        f"{SHARED}/logs/latents/{{digest}}.log",
    priority: first("latents")
    conda:
        "../envs/sidbench.yaml"
    threads: cores("latents")
    resources:
        mem_mb=memory("latents"),
        runtime=minutes("latents"),
        gpu=gpus("latents"),
    params:
        digest=digest("latents"),
    shell:
        sidbench("prepare", quoted(SUITE), "latents/{wildcards.digest:q}", "--gpus {resources.gpu}")


rule pairs:
    input:
        inputs("pairs"),
    output:
        [update(f"{SHARED}/pairs/{{digest}}/{name}") for name in FILES["pairs"]],
    log:
        f"{SHARED}/logs/pairs/{{digest}}.log",
    priority: first("pairs")
    conda:
        "../envs/sidbench.yaml"
    threads: cores("pairs")
    resources:
        mem_mb=memory("pairs"),
        runtime=minutes("pairs"),
        gpu=gpus("pairs"),
    params:
        digest=digest("pairs"),
    shell:
        sidbench("prepare", quoted(SUITE), "pairs/{wildcards.digest:q}", "--gpus {resources.gpu}")
