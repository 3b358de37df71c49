"""Label Studio: tasks with head, tail and relation shown as a prediction, its labelling configuration, its exports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from finecl_hf.review.blinding import opened, sealed
from finecl_hf.review.tasks import MOST_CHOICES, QUESTION, VERDICTS, Task, choices
from finecl_hf.review.votes import Vote, answer_text, stratum_size, verdict_of


SUFFIXES = (".json", ".xml")


def write(tasks: Sequence[Task], relations: Mapping[str, str]) -> dict[str, str]:
    """The files of a project: by suffix, what they hold.

    Args:
        relations: readable names of all relations.
    """
    numbered = [_task(task) for task in tasks]
    config = configuration({task.relation: task.relation_name for task in tasks}, relations)
    return {".json": json.dumps(numbered, ensure_ascii=False, indent=1) + "\n", ".xml": config}


def _task(task: Task) -> dict[str, Any]:
    text, regions = task.text, []
    for role, spans in task.spans.items():
        for number, (start, end) in enumerate(spans):
            value = {"start": start, "end": end, "text": text[start:end], "labels": [role]}
            kind = {"from_name": "mention", "to_name": "text", "type": "labels"}
            regions.append({"id": f"{role}{number}", **kind, "value": value})
    if all(task.spans.values()):
        labels = [task.relation_name]
        regions.append(
            {"type": "relation", "from_id": "head0", "to_id": "tail0", "direction": "right", "labels": labels}
        )
    data = {
        "text": text,
        "instance_id": task.instance_id,
        "question": f"{task.head} — {task.relation_name} → {task.tail}",
        "relation": task.relation,
        "relation_name": task.relation_name,
        "head": task.head,
        "head_type": task.head_type,
        "tail": task.tail,
        "tail_type": task.tail_type,
        "sample": sealed(task.stratum, task.stratum_size, task.instance_id),
    }
    return {"data": data, "predictions": [{"model_version": "finecl_hf", "result": regions}]}


def configuration(shown: Mapping[str, str], relations: Mapping[str, str]) -> str:
    """The labelling configuration.

    Args:
        shown: readable names of the relations that tasks show; relations: of those to choose the right one from.
    """
    arrows = "".join(f"    <Relation value={_attribute(name)}/>\n" for name in dict.fromkeys(shown.values()))
    verdicts = "".join(f'    <Choice value="{name}" hotkey="{name[0]}"/>\n' for name in VERDICTS)
    when = 'visibleWhen="choice-selected" whenTagName="verdict" whenChoiceValue="other relation"'
    if len(relations) <= MOST_CHOICES:
        listed = "".join(f"    <Choice value={_attribute(value)}/>\n" for value in choices(relations))
        right = (
            f'  <Choices name="right_relation" toName="text" choice="single" layout="select" {when}>\n{listed}'
            "  </Choices>\n"
        )
    else:
        right = (
            f'  <TextArea name="right_relation" toName="text" maxSubmissions="1" '
            f'placeholder="id or name of the right relation" {when}/>\n'
        )
    return (
        '<View>\n  <Header value="$question"/>\n'
        f'  <Header size="5" value={_attribute(QUESTION)}/>\n'
        '  <Labels name="mention" toName="text">\n    <Label value="head" background="#4c8fe0"/>\n'
        '    <Label value="tail" background="#e0913c"/>\n  </Labels>\n'
        f"  <Relations>\n{arrows}  </Relations>\n"
        '  <Text name="text" value="$text"/>\n'
        f'  <Choices name="verdict" toName="text" choice="single" showInline="true">\n{verdicts}  </Choices>\n'
        f"{right}</View>\n"
    )


def _attribute(text: str) -> str:
    """In quotes, without what XML has no place for."""
    printable = "".join(c if c.isprintable() and c not in "\ufffe\uffff" else " " for c in text)
    return quoteattr(printable)


def is_export(rows: list[Any]) -> bool:
    """Whether JSON is an export (JSON or JSON-MIN), or tasks that nobody has judged."""
    return any(isinstance(row, dict) and ("data" in row or "annotations" in row or "annotator" in row) for row in rows)


def votes(rows: list[Any]) -> Iterator[Vote | None]:
    """The votes of an export; None for a task that is not one of ours.

    Of several annotations of one person the last counts; skipped ones do not.
    """
    for number, row in enumerate(rows):
        data = row.get("data", row) if isinstance(row, dict) else None
        if not isinstance(data, dict) or not isinstance(data.get("instance_id"), str):
            yield None
            continue
        stratum, size = opened(answer_text(data.get("sample")), data["instance_id"])
        if not stratum:  # older exports say it openly
            stratum, size = answer_text(data.get("stratum")), stratum_size(data.get("stratum_size"))
        latest: dict[str, tuple[Any, Any]] = {}
        for place, (judge, verdict, relation) in enumerate(_answers(row)):
            latest[judge or f"annotation {place}"] = verdict, relation
        for judge, (verdict, relation) in latest.items():
            yield Vote(
                data["instance_id"], verdict_of(verdict), answer_text(relation), judge, stratum, size,
                f"task {number}",
            )  # fmt: skip


def _answers(row: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(judge, verdict, right relation) of each annotation."""
    if "annotations" not in row:
        yield answer_text(row.get("annotator")), row.get("verdict"), row.get("right_relation")
        return
    annotations = row["annotations"] if isinstance(row["annotations"], list) else []
    for annotation in annotations:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        judge = annotation.get("completed_by")
        judge = judge.get("email") or judge.get("id") if isinstance(judge, dict) else judge
        results = annotation.get("result")
        given = [item for item in (results if isinstance(results, list) else []) if isinstance(item, dict)]
        yield answer_text(judge), _answer(given, "verdict"), _answer(given, "right_relation")


def _answer(results: list[dict[str, Any]], name: str) -> Any:
    """What was chosen or written in one control of the configuration."""
    for result in results:
        value = result.get("value")
        if result.get("from_name") == name and isinstance(value, dict):
            given = value.get("choices") or value.get("text")
            return given[0] if isinstance(given, list) and len(given) == 1 else given  # several are no verdict
    return None
