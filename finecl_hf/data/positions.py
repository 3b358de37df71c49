"""Do names stand at their positions? Where most do not, positions are counted in another way than they should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from finecl_hf.data.documents import Document, Mention


FEW = 5  # names that do not fit may be spelt in another way
EXPLAINED = 0.8  # share of them that one way of counting has to explain
_TRIED = 1000  # names for which other ways of counting are tried


class NamePositions:
    """Compares the names of a corpus's mentions with the words at their positions.

    Of Re-DocRED's 46,402 names 10 are spelt otherwise, so that a large share is a safe sign.
    """

    def __init__(self):
        self.mentions = self.elsewhere = 0
        self._ways: Counter[str] = Counter()

    def see(self, document: Document) -> None:
        for entity in document.entities:
            self.mentions += len(entity)
            for mention in entity:
                words = document.sentences[mention.sent_id]
                start, end = mention.start, mention.end
                text = words[start] if end == start + 1 else " ".join(words[start:end])
                if mention.name != text and squeeze(mention.name) != squeeze(text):
                    self.elsewhere += 1
                    if self.elsewhere <= _TRIED:
                        self._ways.update(ways_of_counting(document.sentences, mention))

    @property
    def problem(self) -> str:
        """What is wrong with all positions, and how to mend it; "" where nothing is known to be wrong."""
        way, explained = max(self._ways.items(), key=lambda item: item[1], default=("", 0))
        if not self._are_many or explained < EXPLAINED * min(self.elsewhere, _TRIED):
            return ""
        return (
            f"{self._told}, but would if pos {way}; it must be [start, end) in words of the sentence, from 0, with "
            "end one past the last word, so shift it."
        )

    @property
    def doubt(self) -> str:
        """What looks wrong, though nothing explains it; "" where nothing does."""
        if not self._are_many or self.problem:
            return ""
        return f"{self._told}. Where they are spelt as in the text, pos is wrong."

    @property
    def _are_many(self) -> bool:
        return self.elsewhere >= FEW and 2 * self.elsewhere > self.mentions

    @property
    def _told(self) -> str:
        return f"{self.elsewhere:,} of {self.mentions:,} names do not stand at their positions"


def ways_of_counting(sentences: list[list[str]], mention: Mention) -> Iterator[str]:
    """Ways of counting in which a mention's name stands at its position."""
    words, start, end = sentences[mention.sent_id], mention.start, mention.end
    of_document = list(chain.from_iterable(sentences))
    text, whole_text = " ".join(words), " ".join(of_document)
    name = squeeze(mention.name)
    for way, found in {
        "has inclusive ends": words[start : end + 1],
        "is counted from 1": words[max(start - 1, 0) : max(end - 1, 0)],
        "is counted from 1 with inclusive ends": words[max(start - 1, 0) : end],
        "counts words of the document": of_document[start:end],
        "counts words of the document with inclusive ends": of_document[start : end + 1],
        "counts characters of the sentence": text[start:end],
        "counts characters of the sentence with inclusive ends": text[start : end + 1],
        "counts characters of the document": whole_text[start:end],
        "counts characters of the document with inclusive ends": whole_text[start : end + 1],
    }.items():
        if name and squeeze("".join(found)) == name:
            yield way


def squeeze(text: str) -> str:
    """Text without white space and case: tokenisers differ in where they put spaces."""
    return "".join(text.split()).casefold()
