# Kinora as an image: "cpu" (amd64; arm64 is meant to build, not tried) and "cuda" (amd64, an NVIDIA GPU). compose.yaml builds
# and runs them; deploy/docker/local-base.sh makes a base image for tests.
ARG NODE_IMAGE=docker.io/library/node:22-bookworm-slim
# Debian and Ubuntu alike: CUDA 13's libraries, cuBLAS, cuFFT, cuRAND, NVRTC, and cuDNN 9.
ARG CUDA_IMAGE=docker.io/nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04

# The packages that run, without those for developing and for other systems.
FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev \
  && npm cache clean --force \
  && cd node_modules/onnxruntime-node/bin/napi-v6 \
  && mkdir /tmp/kept && mv "linux/$(node -p process.arch)" /tmp/kept/ && rm -rf ./* && mv /tmp/kept linux \
  && chmod 755 /app/node_modules/@ffmpeg-installer/*/ffmpeg

FROM packages AS app
COPY tsconfig.json LICENSE .env.example deploy/docker/healthcheck.mjs ./
COPY models/builtin models/builtin
COPY src src
# Of a checkout that only its owner may read, user 1000 could read nothing.
RUN chmod -R a+rX /app

# ONNX Runtime's CUDA provider, for the version of onnxruntime-node in package-lock.json. Python stays in this stage.
FROM app AS cuda-app
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3-pip \
  && node src/kinora.mjs setup-cuda --providers-only --cuda 13

FROM ${NODE_IMAGE} AS cpu
# tini ends the processes that others left behind, and passes signals on. redis-server is for those who start the image
# alone; compose.yaml brings Valkey.
RUN apt-get update \
  && apt-get install -y --no-install-recommends tini redis-server \
  && rm -rf /var/lib/apt/lists/* \
  && ln -s /app/src/kinora.mjs /usr/local/bin/kinora \
  && install -d -o 1000 -g 1000 -m 700 /data && install -d /models /inbox
COPY --from=app /app /app
ENV NODE_ENV=production \
  HOME=/tmp \
  KINORA_DATA_DIR=/data \
  KINORA_MODELS_DIR=/models \
  KINORA_WEB_HOST=0.0.0.0
WORKDIR /data
VOLUME ["/data", "/models"]
EXPOSE 7080
USER 1000:1000
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m \
  CMD ["node", "/app/healthcheck.mjs"]
ENTRYPOINT ["/usr/bin/tini", "--", "node", "/app/src/kinora.mjs"]
CMD ["start"]

FROM ${CUDA_IMAGE} AS cuda
RUN apt-get update \
  && apt-get install -y --no-install-recommends tini redis-server \
  && rm -rf /var/lib/apt/lists/* \
  && ln -s /app/src/kinora.mjs /usr/local/bin/kinora \
  && install -d -o 1000 -g 1000 -m 700 /data && install -d /models /inbox
COPY --from=packages /usr/local/bin/node /usr/local/bin/node
COPY --from=cuda-app /app /app
ENV NODE_ENV=production \
  HOME=/tmp \
  KINORA_DATA_DIR=/data \
  KINORA_MODELS_DIR=/models \
  KINORA_WEB_HOST=0.0.0.0
WORKDIR /data
VOLUME ["/data", "/models"]
EXPOSE 7080
USER 1000:1000
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m \
  CMD ["node", "/app/healthcheck.mjs"]
ENTRYPOINT ["/usr/bin/tini", "--", "node", "/app/src/kinora.mjs"]
CMD ["start"]
