"""PyPI "litellm" as it is published, which calls Kinora as an OpenAI elsewhere. It deletes no videos."""

import os
import sys
import time

import litellm

where = {
    "custom_llm_provider": "openai",
    "api_base": os.environ["OPENAI_BASE_URL"],
    "api_key": os.environ["OPENAI_API_KEY"],
}


def finished(video_id: str) -> str:
    for _ in range(240):
        video = litellm.video_status(video_id, **where)
        if video.status in ("completed", "failed"):
            return video.status
        time.sleep(0.5)
    raise TimeoutError(video_id)


with open(sys.argv[1], "rb") as picture:
    created = litellm.video_generation(
        prompt="zoom in",
        model="openai/kinora",
        input_reference=picture,
        user="ann",
        extra_body={"preset": "fast"},
        **where,
    )
assert finished(created.id) == "completed"
assert litellm.video_content(created.id, **where)[4:8] == b"ftyp"
remix = litellm.video_remix(created.id, prompt="zoom out", **where)
assert finished(remix.id) == "completed"
assert len(litellm.video_list(**where)) >= 2
