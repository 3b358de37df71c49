"""Label Studio's own validator on what is exported (tried with label-studio-sdk 2.1.2)."""

import pytest

from finecl_hf.data.documents import Document
from finecl_hf.review import label_studio
from finecl_hf.review.tasks import task_of


@pytest.mark.slow
@pytest.mark.parametrize("relations", [3, 300])
def test_tasks_and_configuration_are_valid(ada, curie, relations):
    reason = "label-studio-sdk is not installed; it has many dependencies"
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason=reason).LabelInterface
    documents: list[Document] = [ada, curie]
    names = {f"P{i}": f'name <{i}> & "quotes"' for i in range(relations)} | {"born in": "place of birth"}
    tasks = [task_of(document, fact, names, "worst", 5) for document in documents for fact in document.relations]
    files = label_studio.write(tasks, names)
    config = interface(files[".xml"])
    config.validate()
    for task in map(label_studio._task, tasks):
        assert config.validate_task({"data": task["data"]})  # with predictions it calls its own method wrongly
        assert not config.validate_prediction(task["predictions"][0], return_errors=True)
