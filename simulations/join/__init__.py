"""Should a merchant join? One alone, federated and pooled, at several levels of privacy, and what it costs.

`running` measures, `verdicts` puts it into words, `report` is the file of results, `page` draws it.
"""
