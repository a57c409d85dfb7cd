"""PyPI "openai" as it is published; OPENAI_BASE_URL and OPENAI_API_KEY say where Kinora is."""

import sys
from pathlib import Path

import openai

client = openai.OpenAI()
fast = {"preset": "fast"}
picture = Path(sys.argv[1])
video = client.videos.create_and_poll(prompt="zoom in", input_reference=picture, extra_body=fast)
assert video.status == "completed" and video.progress == 100, video
assert client.videos.download_content(video.id).read()[4:8] == b"ftyp"
assert client.videos.download_content(video.id, variant="thumbnail").read()[:2] == b"\xff\xd8"
remix = client.videos.poll(client.videos.remix(video.id, prompt="zoom out").id)
assert remix.status == "completed" and remix.remixed_from_video_id == video.id, remix
assert [each.id for each in client.videos.list(limit=1)][:2] == [remix.id, video.id]
assert client.videos.delete(remix.id).deleted
try:
    client.videos.retrieve(remix.id)
    raise AssertionError("it is still there")
except openai.NotFoundError as error:
    assert error.code == "video_not_found", error
