"""The words of ``docs/benchmarks.md``."""

from __future__ import annotations

HEAD = """# Benchmarks

prodpointer side by side with what people use instead, in one run, on the same servers and the same bytes. Measured on
{day}, on {cores} cores; `nox -s bench` does it again and writes this page and [benchmarks.json](benchmarks.json), of
which it is made.

## What is compared

| | what it is | what it loads |
| --- | --- | --- |
| prodpointer | `connect()` once, then the verbs | a file by `pickle`, a model by `mlflow.pyfunc` |
| by hand | the page that many projects write, `benchmarks/by_hand.py`: an alias, on MLflow 2 also a \
stage with `archive_existing_versions=True` | a file by `pickle` |
| MLflow | `MlflowClient` for the pointer, `mlflow.pyfunc.load_model` for `models:/name@production` and \
`models:/name/Production` | a model by `mlflow.pyfunc` |
| modelctl | `modelctl-mlflow` {modelctl}: `info`, `promote`, `pull` and `verify`, called from Python | a file, pulled \
into a directory, by `pickle` |
{without_modelctl}
"A model" is a directory that `mlflow.pyfunc.save_model` wrote: `MLmodel`, three files of requirements, and
`data/bundle.pkl`, a pickled bundle of {sizes}. "A file" is that `data/bundle.pkl` alone, registered as a file of the
same run. So all load the same bundle, and a model is four small files more. modelctl uploads the file once more, in a
layout of its own. What was loaded is looked at each time: it has the bytes that it should have.

An empty cell is something that a contender has not. Only prodpointer has a history, a handle that follows and,
without a question of the caller's, a copy on this machine; modelctl has no stages; MLflow holds both pointers by
being told twice, which are the lines "both". The page by hand goes back to the number before the live one, MLflow and
modelctl to a number that they are given, prodpointer to the version that was live before. A warm load of the page by
hand and of MLflow is the same as a cold one, another download; that of modelctl is `verify` of what was pulled
before.

## How it is measured

Client and server are of one version, {versions}, with the server's database on {stores}; a server has one worker.
With several, a server of MLflow 3.17.2 answers each request of a client that asks one thing after the other about
40 ms late, and times go as the requests. Times are taken with nothing between client and server; requests are counted
by a proxy, the second time that a thing is done. The contenders take turns, another one first each time, so that what
else the machine does meets all alike, {runs} times; a bundle of {large} is loaded {large_runs} times, with one
database. The first time of each is not measured.

A warm load is one right after another of the same contender, which is not timed, as in a loop. A load after a pause
follows {pause} s in which nothing was asked, as in a service that looks now and then.

A cell is the median, the quartiles, and how many times as long as prodpointer it is; in bold where prodpointer is
slower.
"""

BOUGHT = """## What the requests of prodpointer are for

- **Reading** sees both pointers in its one request, so that a stage that another tool moved is not missed.
  `production()` looks at the version too, so that an alias of a version that was deleted is noticed.
- **A promotion** looks at pointers and record, writes its event before the move, closes it after, and reads back what
  is live. The page by hand and MLflow send the move alone: they leave no record of who moved it, why and from where,
  and of two promotions that meet both believe that they are done. [reliability.md](reliability.md) counts how often
  two versions are live then.
- **A rollback** is a promotion of what was live before, once the record was read and the version found to be there
  with its artifact.
- **A cold load** checks the SHA-256 of what came before anything is deserialised, and keeps the download. The page by
  hand and MLflow load what came.
- **A warm load** asks what is live, checks the SHA-256 of the copy on this machine and loads it. Of a model that leaves
  one request, the digest of all its bytes, a look at what `MLmodel` wants loaded, and what `mlflow.pyfunc` does with a
  directory that is here already.

## Again

`nox -s bench` takes about half an hour. `nox -s bench -- --quick --to DIRECTORY` goes the whole way with 5 KB on
SQLite, in a few minutes; `nox -s bench -- --page` makes this page again from the results. Where prodpointer is slower
and no reason is written down, there is no page.
"""
