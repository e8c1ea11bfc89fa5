"""The live page: one reader of the topics for any number of viewers, and what each of them sees."""
