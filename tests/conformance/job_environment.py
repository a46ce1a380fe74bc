"""What a job must find around it: variables, devices, places, signals, descriptors."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from agent.backends import Launch
from tests.conformance.jobs import Ended, job
from tests.conformance.kinds import CARDS_PER_NODE

ALWAYS = {
    *("SUAN_JOB_ID", "SUAN_JOB_NAME", "SUAN_ATTEMPT", "SUAN_SITE", "SUAN_TENANT"),
    *("SUAN_NUM_NODES", "SUAN_NODE_RANK", "SUAN_NODE_IPS", "SUAN_HOSTFILE"),
    *("SUAN_ACCELERATORS_PER_NODE", "SUAN_ACCELERATOR_KIND", "SUAN_ACCELERATOR_MODEL"),
    *("SUAN_NUM_ACCELERATORS", "SUAN_PREEMPTED_COUNT"),
    *("SUAN_DATA_DIR", "SUAN_OUTPUT_DIR", "SUAN_CHECKPOINT_DIR", "SUAN_SCRATCH"),
}
RANKS = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}
DEVICES = {"ASCEND_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES"}
LONG = "长" * 40_000  # 120,000 bytes: Linux allows 131,071 for one variable
GLIBC_SIGNALS = 0b11 << 31  # 32 and 33: glibc's own, which no program can set back


def devices_named(found: Mapping[str, str]) -> set[int]:
    """How many, by each variable that names them; a cluster manager may set one of its own."""
    return {len(found[name].split(",")) for name in DEVICES & found.keys()}


@job("env -0", job_name="训练 one", tenant="实验室", cards_per_node=CARDS_PER_NODE)
def a_rank_for_each_node_has_these_variables(ended: Ended) -> None:
    found = ended.variables()
    assert {name for name in found if name.startswith("SUAN_")} == ALWAYS
    wanted = {
        "SUAN_JOB_ID": ended.order.job_id,
        "SUAN_JOB_NAME": "训练 one",
        "SUAN_ATTEMPT": "1",
        "SUAN_SITE": "shenzhen",
        "SUAN_TENANT": "实验室",
        "SUAN_NUM_NODES": "1",
        "SUAN_NODE_RANK": "0",
        "SUAN_NODE_IPS": ended.order.nodes[0].address,
        "SUAN_ACCELERATORS_PER_NODE": str(CARDS_PER_NODE),
        "SUAN_ACCELERATOR_KIND": "npu",
        "SUAN_ACCELERATOR_MODEL": "ascend-910b",
        "SUAN_NUM_ACCELERATORS": str(CARDS_PER_NODE),
        "SUAN_PREEMPTED_COUNT": "0",
        "MASTER_ADDR": ended.order.nodes[0].address,
    }
    assert {name: found[name] for name in wanted} == wanted
    assert 1024 <= int(found["MASTER_PORT"]) <= 65535
    assert found.keys() & RANKS == set(), "the launcher of the user's own sets these"
    assert devices_named(found) == {CARDS_PER_NODE}
    assert found["SUAN_OUTPUT_DIR"] == ended.order.output_directory


@job(
    "env -0",
    nodes=2,
    ranks=2 * CARDS_PER_NODE,
    cards_per_node=CARDS_PER_NODE,
    launch=Launch.PER_CARD,
    always=True,
)
def a_rank_for_each_card_knows_its_number(ended: Ended) -> None:
    assert ended.exit.rank_codes == (0,) * 2 * CARDS_PER_NODE
    for rank in range(2 * CARDS_PER_NODE):
        found = ended.variables(rank)
        node, local = divmod(rank, CARDS_PER_NODE)
        assert (found["RANK"], found["WORLD_SIZE"]) == (str(rank), str(2 * CARDS_PER_NODE))
        assert (found["LOCAL_RANK"], found["LOCAL_WORLD_SIZE"]) == (str(local), str(CARDS_PER_NODE))
        assert (found["SUAN_NODE_RANK"], found["SUAN_NUM_NODES"]) == (str(node), "2")
        assert found["SUAN_NUM_ACCELERATORS"] == str(2 * CARDS_PER_NODE)
    rendezvous = {
        (found["MASTER_ADDR"], found["MASTER_PORT"])
        for found in map(ended.variables, range(2 * CARDS_PER_NODE))
    }
    assert len(rendezvous) == 1


@job('cat "$SUAN_HOSTFILE"; echo "$SUAN_NODE_IPS"', nodes=2, cards_per_node=CARDS_PER_NODE)
def every_node_knows_all_nodes(ended: Ended) -> None:
    addresses = [node.address for node in ended.order.nodes]
    hosts = [f"{address} slots={CARDS_PER_NODE}" for address in addresses]
    assert ended.lines(0) == ended.lines(1) == [*hosts, *addresses]


@job(
    "env -0",
    environment=(
        ("GREETING", "你好 wörld"),
        ("SUAN_JOB_ID", "forged"),
        ("ASCEND_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7"),
        ("MASTER_PORT", "29500"),
    ),
)
def what_the_user_sets_stands_but_for_what_is_not_his(ended: Ended) -> None:
    found = ended.variables()
    assert (found["GREETING"], found["MASTER_PORT"]) == ("你好 wörld", "29500")
    assert found["SUAN_JOB_ID"] == ended.order.job_id
    assert devices_named(found) == {1}


@job("env -0")
def nothing_of_the_agent_but_what_the_site_sets(ended: Ended) -> None:
    assert b"hunter2" not in ended.out[0]
    assert ended.variables()["HF_HUB_OFFLINE"] == "1"


@job("env -0", array_id="array-1", array_index=3, preempted_count=2, time_limit_seconds=600.0)
def arrays_preemptions_and_the_deadline_are_told(ended: Ended) -> None:
    found = ended.variables()
    assert (found["SUAN_ARRAY_ID"], found["SUAN_ARRAY_INDEX"]) == ("array-1", "3")
    assert found["SUAN_PREEMPTED_COUNT"] == "2"
    assert time.time() < int(found["SUAN_DEADLINE"]) <= ended.exit.ended_at + 600.0


@job(
    'printf %s "$LONG" | wc -c; env | grep -c ^MANY_',
    environment=(("LONG", LONG), *((f"MANY_{i}", "x" * 1000) for i in range(200))),
)
def a_long_environment_arrives_whole(ended: Ended) -> None:
    assert ended.lines() == [str(len(LONG.encode())), "200"]


@job(
    'touch "$SUAN_SCRATCH/big" "$SUAN_OUTPUT_DIR/result" "$SUAN_CHECKPOINT_DIR/step";'
    ' ls -A "$SUAN_DATA_DIR"; touch here; ls -A; echo "$SUAN_SCRATCH"'
)
def its_places_are_there_and_scratch_goes_with_it(ended: Ended) -> None:
    assert ended.exit.succeeded, ended
    *listed, scratch = ended.lines()
    assert listed == ["here"], "no inputs, and an empty directory to work in"
    assert (ended.seat / "result").exists()
    assert not Path(scratch).exists()


@job(
    "pwd; ./'跑 it.sh'",
    bundle={"code dir/跑 it.sh": '#!/bin/sh\necho "ran $0"\n', "other": ""},
    working_directory="code dir",
)
def it_begins_in_its_working_directory(ended: Ended) -> None:
    place, said = ended.lines()
    assert place.endswith("/code dir")
    assert said == "ran ./跑 it.sh"


@job("pwd", working_directory="/")
def it_may_begin_at_a_place_of_the_site(ended: Ended) -> None:
    assert ended.lines() == ["/"]


@job("readlink /proc/self/fd/0; read line; echo $?; ls /proc/self/fd | wc -l")
def there_is_no_input_and_no_file_of_ours(ended: Ended) -> None:
    assert ended.lines() == ["/dev/null", "1", "4"]  # 0, 1, 2 and the one that ls reads


@job("grep -E '^Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f1,6 /proc/$$/stat; umask")
def signals_session_and_umask_are_plain(ended: Ended) -> None:
    blocked, ignored, session, umask = ended.lines()
    assert int(blocked.split()[1], 16) == 0
    assert int(ignored.split()[1], 16) & ~GLIBC_SIGNALS == 0
    assert len(set(session.split())) == 1, "its process leads its session"
    before = os.umask(0o022)
    os.umask(before)
    assert int(umask, 8) == before, "as the agent's"
