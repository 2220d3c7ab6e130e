"""What can be done with a conversation, and that its file tells the same."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zigllm_cli.chat import log as logs
from zigllm_cli.chat.conversation import Conversation, check_messages
from zigllm_cli.chat.log import LogFile, every, find, read, remove
from zigllm_cli.errors import InputError, UsageError


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_changes() -> None:
    talk = Conversation()
    talk.set_system("be brief")
    talk.say("user", "one")
    assert talk.waits
    talk.say("assistant", "1", reasoning_content="hm")
    assert not talk.waits
    talk.say("user", "two")
    talk.say("assistant", "2")
    assert talk.last_answer == "2"
    talk.drop_answer()
    assert (len(talk), talk.waits) == (4, True)
    assert talk.undo() == "two"
    assert talk.messages[-1] == {"role": "assistant", "content": "1", "reasoning_content": "hm"}
    talk.set_system("be long")
    assert (talk.system, len(talk)) == ("be long", 3)
    talk.clear()
    assert talk.messages == [{"role": "system", "content": "be long"}]
    talk.set_system("")
    assert talk.messages == []
    with pytest.raises(UsageError, match="nothing was asked"):
        talk.undo()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(["user", "assistant"]), st.text(max_size=20)),
        st.tuples(st.just("set_system"), st.text(max_size=5)),
        st.tuples(st.sampled_from(["clear", "undo", "drop_answer"])),
    ),
    max_size=12,
)


@given(STEPS, st.integers(0, 40))
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_file_tells_the_same_also_when_its_end_is_torn_off(
    steps: list[tuple[str, ...]], torn: int
) -> None:
    log = LogFile(logs.new_id(), {"model": "m"})
    talk = Conversation(log=log)
    expected = [list(talk.messages)]
    for name, *arguments in steps:
        try:
            getattr(talk, name)(*arguments)
        except UsageError:
            continue
        expected.append(list(talk.messages))
    log.close()
    if not log.exists:
        return
    assert read(log.path).conversation.messages == _valid(talk.messages)
    data = log.path.read_bytes()
    log.path.write_bytes(data[: max(len(data) - torn, data.find(b"\n") + 1)])
    assert read(log.path).conversation.messages in [_valid(messages) for messages in expected]
    again = LogFile(log.id)
    again.write({"type": "message", "role": "user", "content": "after"})
    again.close()
    assert read(log.path).conversation.messages[-1]["content"] == "after"
    log.path.unlink()


def _valid(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Lone surrogates become question marks in a file."""
    return [
        {k: v.encode("utf-8", "replace").decode("utf-8") for k, v in m.items()} for m in messages
    ]


def test_files_are_private(state: Path) -> None:
    log = LogFile("a")
    Conversation(log=log).say("user", "x")
    log.close()
    if os.name == "posix":
        assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(log.path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_two_processes_do_not_write_one_conversation() -> None:
    log, other = LogFile("a"), LogFile("a")
    log.write({"type": "system", "content": "x"})
    with pytest.raises(InputError, match="open in another process"):
        other.write({"type": "system", "content": "y"})
    log.close()
    other.write({"type": "system", "content": "y"})
    other.close()


def test_conversations_are_found_by_how_their_names_begin() -> None:
    with pytest.raises(UsageError, match="no conversation to go on with"):
        find(None)
    for number, name in enumerate(("20260101-aa", "20260101-bb", "20260202-cc")):
        log = LogFile(name, {"model": "m"})
        Conversation(log=log).say("user", f"question {name}\n")
        log.close()
        os.utime(log.path, (number, number))
    assert [saved.id for saved in every()] == ["20260202-cc", "20260101-bb", "20260101-aa"]
    assert find(None).id == "20260202-cc"
    assert find("202602").title == "question 20260202-cc"
    assert find("20260101-a").head["model"] == "m"
    with pytest.raises(UsageError, match="2 conversations by the name of '20260101'"):
        find("20260101")
    with pytest.raises(UsageError, match="no conversation by the name of 'x'"):
        find("x")
    remove(find("202602"))
    assert find(None).id == "20260101-bb"


def test_a_damaged_file_is_told_with_its_line(state: Path) -> None:
    folder = logs.folder()
    folder.mkdir(parents=True)
    (folder / "x.jsonl").write_text('{"type": "chat"}\nnonsense\n{"type": "system"}\n')
    with pytest.raises(InputError, match=r"x\.jsonl is damaged in line 2"):
        find("x")
    assert list(every()) == []


def test_messages_of_others() -> None:
    assert check_messages({"messages": [{"role": "user"}]}, "f") == [{"role": "user"}]
    for wrong in ([], {}, "x", {"messages": 3}):
        with pytest.raises(UsageError, match="holds no list of messages"):
            check_messages(wrong, "f")
    with pytest.raises(UsageError, match="message 2 is not an object with a role"):
        check_messages([{"role": "user"}, 3], "f")
