"""One module per public data set, and three for one's own files: each writes a datalist from files as they are."""
