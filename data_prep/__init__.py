"""One module per public data set, and two for one's own files: each writes a datalist from files as they are."""
