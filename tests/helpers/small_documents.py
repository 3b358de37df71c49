"""One-sentence documents, written in a line."""

from dataclasses import replace

from finecl_hf.data.documents import Document, Fact, Mention


def small_document(title, names, facts=(), kb_ids=(), **others):
    """One sentence; an entity for each name, or for each list of names. `kb_ids` are those of the first entities."""
    words, entities = [], []
    for number, entity in enumerate(names):
        mentions = []
        for name in [entity] if isinstance(entity, str) else entity:
            kb_id = kb_ids[number] if number < len(kb_ids) else ""
            mentions.append(Mention(name, 0, len(words), len(words) + 1, "MISC", kb_id))
            words.append(name)
        entities.append(mentions)
    return Document(title, [words], entities, [Fact(*fact) for fact in facts], **others)


def triples(document):
    return [(fact.head, fact.tail, fact.relation) for fact in document.relations]


def silver_documents(ada, curie):
    """Documents with and without facts, also at either end and next to each other."""
    bare = replace(ada, relations=[])
    order = [bare, ada, bare, bare, curie, replace(curie, relations=curie.relations[1:]), bare]
    return [replace(document, title=f"d{i}") for i, document in enumerate(order)]
