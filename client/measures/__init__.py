"""What predictions are judged by, beside a task's first measure: one file for each kind of answer."""
