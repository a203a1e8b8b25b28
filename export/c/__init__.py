"""C99 for microcontrollers: int8 arithmetic, its interpreter in NumPy, the plan of memory, and the text."""
