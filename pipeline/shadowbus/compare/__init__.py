"""One comparator per kind of answer: do they agree, and who was right?"""
