"""What the queue itself holds: jobs a second that are claimed, told of and ended, with nothing rendered.

    python scripts/benchmark_queue.py [--database postgresql://…] [--jobs 400] [--workers 8] [--tells 20]

Jobs of 20 users lie in the database; worker processes claim one, tell of its progress so many times, and end
it, as fast as they can. `jobs_a_second` is what all of them did together, `transactions_a_second` counts each
claim, each word of progress and each end; `claim_ms` is the median that a claim took while all others worked,
and `worst_lead_jobs` by how many jobs one user was ahead of another who still waited.
Without `--database` it is SQLite in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import select

from mixagent.service.access import ensure_user
from mixagent.service.jobs.queue import Claimed, Queue
from mixagent.service.naming import new_id
from mixagent.service.settings import Limits, ServiceSettings
from mixagent.service.store.database import Database, insist
from mixagent.service.store.tables import QUEUED, Job
from mixagent.service.worker.tools import open_tools

USERS = 20
STAGES = [{"name": f"stage {number}", "state": "done", "seconds": 1.0} for number in range(20)]
PROGRESS = {"stage": "mix", "share": 0.5, "left_s": 3.0, "stages": STAGES}


def add_jobs(database: Database, count: int) -> None:
    """Queue jobs of all users, no two of them equal."""
    with database.writing() as session:
        for user in range(USERS):
            ensure_user(session, f"user{user}")
        for number in range(count):
            session.add(
                Job(
                    id=new_id("job"),
                    user=f"user{number % USERS}",
                    kind="master",
                    name="song",
                    state=QUEUED,
                    quick=False,
                    options={},
                    call={},
                    uploads=[],
                    search="",
                    cache_key=new_id("evt"),
                    audio_s=1.0,
                    created_at=time.time(),
                )
            )


def work(settings: ServiceSettings, tells: int, results: Any) -> None:
    """Claim, tell and end jobs until there are none."""
    tools = open_tools(settings)
    claims_s, jobs = [], 0
    while True:
        begun = time.perf_counter()
        claimed = insist(tools.queue.claim)
        if claimed is None:
            break
        claims_s.append(time.perf_counter() - begun)
        run(tools.queue, claimed, tells)
        jobs += 1
    tools.database.close()
    results.put((jobs, claims_s))


def run(queue: Queue, claimed: Claimed, tells: int) -> None:
    """A job of which nothing is made."""
    for _ in range(tells):
        insist(lambda: queue.tell(claimed, PROGRESS, PROGRESS))
    assert insist(lambda: queue.finish(claimed, {"runtime_seconds": 0.0}, [], lambda lost: None))


def worst_lead(database: Database) -> int:
    """The most jobs by which one user was ahead of another who still waited."""
    with database.reading() as session:
        served = list(session.scalars(select(Job.user).order_by(Job.started_at)))
    left, done, worst = Counter(served), Counter[str](), 0
    for user in served:
        done[user] += 1
        waiting = [done[other] for other in left if done[other] < left[other]]
        worst = max(worst, done[user] - min(waiting, default=done[user]))
    return worst


def main() -> None:
    """Run it and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--database")
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--tells", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = ServiceSettings(
            data=Path(folder), database_url=given.database, limits=Limits(running=given.workers)
        )
        database = Database(settings.database_url or settings.database)
        add_jobs(database, given.jobs)
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        processes = [
            context.Process(target=work, args=(settings, given.tells, results)) for _ in range(given.workers)
        ]
        begun = time.monotonic()
        for process in processes:
            process.start()
        rows = [results.get() for _ in processes]
        taken_s = time.monotonic() - begun
        for process in processes:
            process.join()
        lead = worst_lead(database)
        database.close()
    done = sum(jobs for jobs, _ in rows)
    found = {
        "database": "postgresql" if given.database else "sqlite",
        "workers": given.workers,
        "jobs": done,
        "lost": given.jobs - done,
        "seconds": round(taken_s, 2),
        "jobs_a_second": round(done / taken_s, 1),
        "transactions_a_second": round(done * (given.tells + 2) / taken_s),
        "claim_ms": round(1000 * statistics.median(s for _, claims in rows for s in claims), 1),
        "worst_lead_jobs": lead,
        "load_average": os.getloadavg()[0],
    }
    json.dump(found, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
