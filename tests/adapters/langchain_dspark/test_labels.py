"""Labels reach the trace however LangGraph runs a model, also where somebody listens to it."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent
from langgraph.graph import START, MessagesState, StateGraph

from agentspark.engine.params import Labels
from langchain_dspark import local

ASKED = {"messages": "What does an agent read?"}
CONFIG = {"metadata": {"agentspark_run": "r"}, "tags": ["agentspark_parent:boss"]}
SAID = Labels(run="r", parent="boss", step_name="model")


@pytest.fixture
def said(monkeypatch):
    """The labels of the calls that are made."""
    labels, submit = [], local._submit

    def submitting(engine, call):
        labels.append(call.labels)
        return submit(engine, call)

    monkeypatch.setattr(local, "_submit", submitting)
    return labels


@pytest.mark.parametrize("mode", ["values", "messages"])
async def test_an_agents_calls_are_labelled_in_every_mode(chat, said, mode):
    agent = create_agent(chat)
    parts = list(agent.stream(ASKED, CONFIG, stream_mode=mode))
    parts += [part async for part in agent.astream(ASKED, CONFIG, stream_mode=mode)]
    assert len(parts) >= 4
    assert said == [SAID, SAID]


async def test_so_are_those_that_events_tell_of(chat, said):
    events = create_agent(chat).astream_events(ASKED, CONFIG, version="v2")
    assert "on_chat_model_stream" in {event["event"] async for event in events}
    assert said == [SAID]


def test_a_call_within_a_node_says_its_own_where_it_has_some(chat, said):
    def node(state):
        chat.invoke("one", {"metadata": {"agentspark_run": "other", "agentspark_step": 3}})
        return {"messages": [chat.invoke("two", labels={"step_name": "mine"})]}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
    list(graph.stream(ASKED, CONFIG, stream_mode="messages"))
    assert said == [
        Labels(run="other", step=3, parent="boss", step_name="node"),
        Labels(run="r", parent="boss", step_name="mine"),
    ]
