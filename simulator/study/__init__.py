"""`suan simulate`: a trace, a federation and policies side by side; figures, table and page."""
