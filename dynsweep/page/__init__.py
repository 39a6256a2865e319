"""The report page: one HTML file with interactive diagrams and the table of runs.

runs and cells (tables) -> payload (compact JSON) -> page (Jinja2, Plotly, a little JavaScript)
"""
