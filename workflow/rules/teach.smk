# What all suites share, under a digest: teachers, feature networks, pairs.


rule teacher:
    input:
        inputs("teacher"),
    output:
        [f"{SHARED}/teacher/{{digest}}/{name}" for name in FILES["teacher"]],
    log:
        f"{SHARED}/logs/teacher/{{digest}}.log",
    priority: first("teacher")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("teacher"),
        runtime=minutes("teacher"),
    params:
        digest=digest("teacher"),
        state=state("teacher"),
    shell:
        sidbench("prepare", quoted(SUITE), "teacher/{wildcards.digest}")


rule extractor:
    input:
        inputs("extractor"),
    output:
        [f"{SHARED}/extractor/{{digest}}/{name}" for name in FILES["extractor"]],
    log:
        f"{SHARED}/logs/extractor/{{digest}}.log",
    priority: first("extractor")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("extractor"),
        runtime=minutes("extractor"),
    params:
        digest=digest("extractor"),
    shell:
        sidbench("prepare", quoted(SUITE), "extractor/{wildcards.digest}")


rule pairs:
    input:
        inputs("pairs"),
    output:
        [f"{SHARED}/pairs/{{digest}}/{name}" for name in FILES["pairs"]],
    log:
        f"{SHARED}/logs/pairs/{{digest}}.log",
    priority: first("pairs")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("pairs"),
        runtime=minutes("pairs"),
    params:
        digest=digest("pairs"),
    shell:
        sidbench("prepare", quoted(SUITE), "pairs/{wildcards.digest}")
