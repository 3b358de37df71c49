"""Argilla 2: records as JSON Lines, the settings of their dataset, and exported records with responses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from finecl_hf.review.tasks import MOST_CHOICES, QUESTION, ROLES, VERDICTS, Task, choices
from finecl_hf.review.votes import Vote, answer_text, stratum_size, verdict_of


SUFFIXES = (".jsonl", ".settings.json")

_NO_ANSWER = ("draft", "discarded")  # status of a response

_TEXT = {"type": "text", "use_markdown": False}


def write(tasks: Sequence[Task], relations: Mapping[str, str]) -> dict[str, str]:
    """The records, and the settings for `rg.Settings.from_json`, by suffix."""
    lines = [json.dumps(_record(task), ensure_ascii=False) + "\n" for task in tasks]
    settings = json.dumps(_settings(relations), ensure_ascii=False, indent=1) + "\n"
    return {".jsonl": "".join(lines), ".settings.json": settings}


def _record(task: Task) -> dict[str, Any]:
    spans = [{"start": start, "end": end, "label": role} for role, found in task.spans.items() for start, end in found]
    return {
        "id": task.instance_id,
        "fields": {"fact": f"{task.head} — {task.relation_name} → {task.tail}", "text": task.text},
        "metadata": {"relation": task.relation, "stratum": task.stratum, "stratum_size": task.stratum_size},
        "suggestions": {"mention": {"value": spans, "score": None, "agent": "finecl_hf"}},
        "responses": {},
        "vectors": {},
    }


def _settings(relations: Mapping[str, str]) -> dict[str, Any]:
    fields = [
        {"name": name, "title": name.capitalize(), "required": True, "settings": dict(_TEXT)}
        for name in ("fact", "text")
    ]
    options = [{"value": name, "text": name} for name in VERDICTS]
    questions = [
        _question("verdict", QUESTION, True, {"type": "label_selection", "options": options, "visible_options": None}),
        _question("right_relation", "Which relation holds, if another one does?", False, _right(relations)),
        _question(
            "mention",
            "Head and tail",
            False,
            {
                "type": "span",
                "field": "text",
                "options": [{"value": role, "text": role} for role in ROLES],
                "visible_options": None,
                "allow_overlapping": True,
            },
        ),
    ]
    metadata = [
        {
            "name": name,
            "title": name,
            "settings": {"type": kind},
            "visible_for_annotators": name == "relation",  # the stratum would tell what is expected
        }
        for name, kind in (("relation", "terms"), ("stratum", "terms"), ("stratum_size", "integer"))
    ]
    return {
        "guidelines": QUESTION,
        "questions": questions,
        "fields": fields,
        "vectors": [],
        "metadata": metadata,
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _right(relations: Mapping[str, str]) -> dict[str, Any]:
    """A list of two to `MOST_CHOICES` relations, as Argilla wants at least two; else a text."""
    if not 2 <= len(relations) <= MOST_CHOICES:
        return dict(_TEXT)
    options = [
        {"value": relation, "text": text} for relation, text in zip(sorted(relations), choices(relations), strict=True)
    ]
    return {"type": "label_selection", "options": options, "visible_options": None}


def _question(name: str, title: str, required: bool, settings: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "title": title, "description": None, "required": required, "settings": settings}


def is_export(rows: list[Any]) -> bool:
    """Whether JSON holds records of Argilla, nested or flat."""
    return any(isinstance(row, dict) and ("fields" in row or "verdict.responses" in row) for row in rows)


def votes(rows: list[Any]) -> Iterator[Vote | None]:
    """The responses of exported records, one for each person; None for a record that is not one of ours.

    Drafts, and what somebody has discarded, are no answers.
    """
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            yield None
            continue
        verdicts, relations = (_responses(row, name) for name in ("verdict", "right_relation"))
        metadata = row.get("metadata") if isinstance(row.get("metadata"), dict) else row
        for judge, verdict in verdicts.items():
            yield Vote(
                row["id"], verdict_of(verdict), answer_text(relations.get(judge)), judge,
                answer_text(metadata.get("stratum")), stratum_size(metadata.get("stratum_size")), f"record {number}",
            )  # fmt: skip


def _responses(row: dict[str, Any], question: str) -> dict[str, Any]:
    """What each person answered to a question."""
    if f"{question}.responses" in row:
        parts = (row.get(f"{question}.responses{part}") for part in ("", ".users", ".status"))
        values, users, status = (part if isinstance(part, list) else [] for part in parts)
        given = [
            {"value": value, "user_id": user, "status": state}
            for value, user, state in zip_longest(values, users[: len(values)], status[: len(values)])
        ]
    else:
        responses = row.get("responses")
        found = responses.get(question) if isinstance(responses, dict) else None
        given = [answer for answer in found if isinstance(answer, dict)] if isinstance(found, list) else []
    return {
        answer_text(answer.get("user_id")) or f"{i}": answer.get("value")
        for i, answer in enumerate(given)
        if answer.get("status") not in _NO_ANSWER
    }
