include: "workflow/Snakefile"


rule everything:
    input:
        rules.all.input,
