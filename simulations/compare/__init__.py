"""Methods against data sets: many trainings, each tuned on validation rows, all judged on the same test rows.

`plan` reads the file that lists them, `jobs` carries one training out, `running` all of them, `table` and
`page` turn their predictions into results.
"""
