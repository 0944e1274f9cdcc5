"""Lockstep: a frame, its questions, their answers, then the next frame. The same numbers on any machine."""

from collections import defaultdict

from lisa_ros.errors import GraphEndedError, NoResultError
from lisa_ros.evaluation.replay.rows import NO_RESULT, Answer
from lisa_ros.evaluation.replay.scan import Case, Scan
from lisa_ros.evaluation.replay.scoring import Frame, Scorer
from lisa_ros.progress import ProgressBar


def run_lockstep(client, scan: Scan, scorer: Scorer, timeout: float) -> str:
    """Asks every case about its frame's stamp.

    client: a `lisa_ros.nodes.evaluator.Evaluator`. timeout: s for one answer. A question without an answer is scored
    as one. Returns why the node ended, "" where it did not; all questions that were left have no answer then.
    """
    left, ended = cases_by_frame(scan), ""
    with question_bar(scan, scorer.protocol) as bar:
        try:
            for rgbd in scan.bag.frames():
                cases = left.get(rgbd.index)
                if not cases:
                    continue
                frame = Frame(rgbd)
                client.player.publish(rgbd)
                while cases:
                    answer = _ask(client, rgbd, cases[0], timeout)
                    scorer.add(cases.pop(0), answer, frame)
                    bar.update()
        except GraphEndedError as error:
            ended = str(error)
        for case in [case for cases in left.values() for case in cases]:
            scorer.add(case, Answer(NO_RESULT, ended or f"the bag has no frame {case.frame}"))
            bar.update()
    return ended


def answer_of(timed) -> Answer:
    """What a `lisa_ros.client.graph_client.TimedResult` says."""
    points = None if timed.cloud is None else timed.cloud.points
    return Answer(timed.status, timed.result.message, timed.result, points, timed.seconds)


def cases_by_frame(scan: Scan) -> dict[int, list[Case]]:
    """Frame -> its cases, in the order of the queries."""
    cases = defaultdict(list)
    for case in scan.cases:
        cases[case.frame].append(case)
    return dict(cases)


def question_bar(scan: Scan, name: str) -> ProgressBar:
    """Progress over all cases, on stderr."""
    return ProgressBar(len(scan.cases), description=f"{scan.scene} {name}", unit="question")


def _ask(client, rgbd, case: Case, timeout: float) -> Answer:
    try:
        return answer_of(client.ask_about(rgbd, case.query.text, timeout))
    except NoResultError as error:
        return Answer(NO_RESULT, str(error))
