"""What is to be predicted from an image, one task per file.

Each has its `KIND`; `VIEWS`, how many examples one image makes; `labelled`, whether the pictures need labels;
`classes`, how many there are; and `examples`, which turns images and the numbers of their views into inputs and
targets.
"""
