"""shadowbus: may the new model replace the old one?"""
