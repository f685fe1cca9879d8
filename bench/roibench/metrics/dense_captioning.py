KINDS = ("size", "texture", "colour", "class", "relation")
