"""What the notebooks call, in folders that follow them; README.md is the map.

    workflow -> analysis -> explorer -> extensions -> evaluation
             -> training | perturbations | base_model -> puzzles -> data -> answers -> ground

An arrow means "may import"; none goes back. The ground is conditions, files, processes and devices.
"""
