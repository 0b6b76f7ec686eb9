"""One module per public data set: each writes a datalist from the files as they are published."""
