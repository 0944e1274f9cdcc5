"""Lockstep: a frame, its questions, their answers, then the next frame. The same numbers on any machine."""

from lisa_ros.errors import GraphEndedError, NoResultError
from lisa_ros.evaluation.scans.rows import NO_RESULT, ReplayAnswer
from lisa_ros.evaluation.scans.scan import Case, Scan, cases_by_frame, question_bar
from lisa_ros.evaluation.scans.scoring import DecodedFrame, Scorer


def run_lockstep(client, scan: Scan, scorer: Scorer, timeout: float) -> str:
    """Asks every case about its frame's stamp.

    client: a `lisa_ros.replay.bag_evaluator.BagEvaluator`. timeout: s for one answer. A question without an
    answer is scored as one. Returns why the node ended, "" where it did not; all questions that were left have no
    answer then.
    """
    left, ended = cases_by_frame(scan), ""
    with question_bar(scan, scorer.protocol) as bar:
        try:
            for rgbd in scan.bag.frames():
                cases = left.get(rgbd.index)
                if not cases:
                    continue
                frame = DecodedFrame(rgbd)
                client.player.publish(rgbd)
                while cases:
                    answer = _ask(client, rgbd, cases[0], timeout)
                    scorer.add(cases.pop(0), answer, frame)
                    bar.update()
        except GraphEndedError as error:
            ended = str(error)
        for case in [case for cases in left.values() for case in cases]:
            scorer.add(case, ReplayAnswer(NO_RESULT, ended or f"the bag has no frame {case.frame}"))
            bar.update()
    return ended


def answer_of(timed) -> ReplayAnswer:
    """What a `lisa_ros.client.graph_client.TimedResult` says."""
    points = None if timed.cloud is None else timed.cloud.points
    return ReplayAnswer(timed.status, timed.result.message, timed.result, points, timed.seconds)


def _ask(client, rgbd, case: Case, timeout: float) -> ReplayAnswer:
    try:
        return answer_of(client.ask_about(rgbd, case.query.text, timeout))
    except NoResultError as error:
        return ReplayAnswer(NO_RESULT, str(error))
