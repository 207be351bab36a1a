# The tables of all runs, and the page made of them.


rule table:
    input:
        inputs("table"),
    output:
        [f"{HOME}/tables/{name}" for name in FILES["table"]],
    log:
        f"{HOME}/logs/table.log",
    conda:
        "../../environment.yml"
    params:
        digest=digest("table"),
    shell:
        sidbench("table", "--quiet", quoted(SUITE))


rule report:
    input:
        inputs("report"),
    output:
        f"{HOME}/report/index.html",
    log:
        f"{HOME}/logs/report.log",
    conda:
        "../../environment.yml"
    params:
        digest=digest("report"),
    shell:
        sidbench("report", quoted(SUITE))
