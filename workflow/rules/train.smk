# One run is one job: it trains, samples and scores. A control only samples and scores.


rule run:
    input:
        inputs("run"),
    output:
        [f"{HOME}/runs/{{task}}/{{entry}}/{{seed}}/{name}" for name in FILES["method"]],
    log:
        f"{HOME}/logs/{{task}}/{{entry}}/{{seed}}.log",
    wildcard_constraints:
        entry=one_of(METHODS),
    priority: first("run")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("run"),
        runtime=minutes("run"),
    params:
        digest=digest("run"),
        state=state("run"),
    shell:
        sidbench("run", quoted(SUITE), "{wildcards.task}/{wildcards.entry}/{wildcards.seed}")


rule control:
    input:
        inputs("run"),
    output:
        [f"{HOME}/runs/{{task}}/{{entry}}/{{seed}}/{name}" for name in FILES["control"]],
    log:
        f"{HOME}/logs/{{task}}/{{entry}}/{{seed}}.log",
    wildcard_constraints:
        entry=one_of(CONTROLS),
    priority: first("run")
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory("run"),
        runtime=minutes("run"),
    params:
        digest=digest("run"),
    shell:
        sidbench("run", quoted(SUITE), "{wildcards.task}/{wildcards.entry}/{wildcards.seed}")
