# The tables of all runs, and the page made from them, which Snakemake's own report embeds.
from benchmarks.report import audit

(TABLE,) = PLAN.of("table")


rule table:
    input:
        inputs("table"),
    output:
        list(TABLE.outputs),
    log:
        f"{HOME}/logs/table.log",
    conda:
        "../envs/sidbench.yaml"
    params:
        digest=digest("table"),
    shell:
        sidbench("table", "--quiet", *(["--paper"] if TABLE.params["papers"] else []), quoted(SUITE))


rule report:
    input:
        inputs("report"),
        audits=lambda wildcards: [str(file) for file in audit.files(Path(HOME))],
    output:
        report(
            f"{HOME}/report/index.html",
            caption="../report/page.rst",
            category="SiDBench",
            labels={"suite": NAME, "what": "verdicts, curves, samples, cost, provenance"},
        ),
    log:
        f"{HOME}/logs/report.log",
    conda:
        "../envs/sidbench.yaml"
    params:
        digest=digest("report"),
    shell:
        sidbench("report", quoted(SUITE))
