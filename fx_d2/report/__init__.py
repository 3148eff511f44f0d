"""The report of a run: from the files in its folder to one page and a model card. :mod:`.report` begins."""
