/** The versions of CUDA that ONNX Runtime's providers exist for: what they need, and where the libraries come from. */

export interface CudaVersion {
  /** Major version of the oldest driver that it runs on. */
  readonly driver: number;
  /** Compute capability of the oldest GPU that the providers were built for. */
  readonly capability: number;
  /** Bytes of disk that the installation needs while it runs: packages, packed and unpacked. */
  readonly bytes: number;
  /** Python packages of NVIDIA's with the libraries. */
  readonly packages: readonly string[];
}

/** By CUDA's major version. */
export const cudaVersions: Readonly<Record<number, CudaVersion>> = {
  12: {
    driver: 525,
    capability: 6.0,
    bytes: 5e9,
    packages: [
      'nvidia-cuda-runtime-cu12~=12.0',
      'nvidia-cuda-nvrtc-cu12~=12.0',
      'nvidia-cublas-cu12~=12.0',
      'nvidia-cufft-cu12~=11.0',
      'nvidia-curand-cu12~=10.0',
      'nvidia-cudnn-cu12~=9.0',
    ],
  },
  13: {
    driver: 580,
    capability: 7.5,
    bytes: 3.8e9,
    packages: [
      'nvidia-cuda-runtime~=13.0',
      'nvidia-cuda-nvrtc~=13.0',
      'nvidia-cublas~=13.0',
      'nvidia-cufft~=12.0',
      'nvidia-curand~=10.0',
      'nvidia-cudnn-cu13~=9.0',
    ],
  },
};
export const usualCuda = 13;
