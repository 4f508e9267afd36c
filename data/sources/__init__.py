"""Where rows come from: files of many formats, workbooks and databases, as batches of Arrow rows."""
