"""Models, one file each; files whose name begins with an underscore are shared code."""
