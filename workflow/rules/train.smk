# One run is one job: it trains, samples and scores. A control only samples and scores.


rule run:
    input:
        inputs("run"),
    output:
        [f"{HOME}/runs/{{task}}/{{entry}}/{{seed}}/{name}" for name in FILES["method"]],
    log:
        f"{HOME}/logs/{{task}}/{{entry}}/{{seed}}.log",
    wildcard_constraints:
        task=one_of(TASKS),
        entry=one_of(METHODS),
    priority: first("run")
    conda:
        "../envs/sidbench.yaml"
    threads: cores("run")
    resources:
        mem_mb=memory("run"),
        runtime=minutes("run"),
        gpu=gpus("run"),
    params:
        digest=digest("run"),
        state=state("run"),
    shell:
        sidbench(
            "run",
            quoted(SUITE),
            "{wildcards.task:q}/{wildcards.entry:q}/{wildcards.seed:q}",
            "--gpus {resources.gpu} --digest {params.digest}",
        )


# The same over several nodes: SLURM assigns each its GPUs, and `sidbench run` starts a torchrun on each (srun).
use rule run as run_nodes with:
    wildcard_constraints:
        task=one_of(SPREAD),
        entry=one_of(METHODS),
    resources:
        mem_mb=memory("run"),
        runtime=minutes("run"),
        gpu=0,  # counted by gres, per node
        gres=gres("run"),
        nodes=nodes("run"),
        tasks=nodes("run"),
        tasks_per_gpu=0,
        mpi="srun",


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
        "../envs/sidbench.yaml"
    threads: cores("run")
    resources:
        mem_mb=memory("run"),
        runtime=minutes("run"),
        gpu=gpus("run"),
    params:
        digest=digest("run"),
    shell:
        sidbench(
            "run",
            quoted(SUITE),
            "{wildcards.task:q}/{wildcards.entry:q}/{wildcards.seed:q}",
            "--gpus {resources.gpu} --digest {params.digest}",
        )
