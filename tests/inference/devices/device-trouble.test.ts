import { describe, expect, it } from 'vitest';
import { deviceTrouble, firstWords } from '../../../src/inference/devices/device-trouble.ts';

/** As ONNX Runtime 1.30 says it, with and without a driver, shortened in the middle. */
const cudaFailure = (code: number, words: string): string =>
  `/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::conditional_t<THRW, void, onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const char*) [with ERRTYPE = cudaError; bool THRW = true] CUDA failure ${code}: ${words} ; GPU=-1 ; hostname=my-secret-host ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider.cc ; line=352 ; expr=cudaSetDevice(info_.device_id); \n\n`;

describe('what a device lacks is said in words that help', () => {
  it.each<[string, string, RegExp]>([
    [
      'no GPU',
      cudaFailure(100, 'no CUDA-capable device is detected'),
      /sees no GPU, or CUDA_VISIBLE_DEVICES/,
    ],
    ['no such GPU', cudaFailure(101, 'invalid device ordinal'), /no GPU of this number/],
    [
      'an old driver',
      cudaFailure(35, 'CUDA driver version is insufficient for CUDA runtime version'),
      /driver is too old; CUDA 13 needs driver 580/,
    ],
    [
      'an old GPU',
      cudaFailure(209, 'no kernel image is available for execution on the device'),
      /GPU is too old .* 7\.5/,
    ],
    ['an old GPU, says cuDNN', 'CUDNN failure 3001: CUDNN_STATUS_ARCH_MISMATCH', /GPU is too old/],
    ['something rare', cudaFailure(999, 'unknown error'), /^unknown error$/],
    [
      'a foreign engine',
      'TensorRT EP failed to deserialize engine from cache: unet_core.engine',
      /built for another kind of GPU/,
    ],
  ])('%s', (_what, message, sentence) => {
    const trouble = deviceTrouble('cuda', message, true);
    expect(trouble).toMatch(sentence);
    expect(trouble).not.toMatch(/hostname|my-secret-host|onnxruntime_src|\.$/);
  });

  it('a model that fails is not taken for a device that is not there', () => {
    const message =
      'Non-zero status code returned while running Conv node. CUDA failure 700: an illegal memory access';
    expect(deviceTrouble('cuda', message, false)).toBeUndefined();
    expect(deviceTrouble('cuda', cudaFailure(209, 'no kernel image is available'), false)).toMatch(/too old/);
    expect(deviceTrouble('cpu', cudaFailure(100, 'no device'), true)).toBeUndefined();
    expect(
      deviceTrouble('cuda', 'Load model from a.onnx failed:Protobuf parsing failed.', true),
    ).toBeUndefined();
  });

  it("the runtime's own words keep no path and no machine", () => {
    expect(firstWords(cudaFailure(999, 'unknown error'))).toBe('CUDA failure 999: unknown error');
    expect(firstWords('Load model from /home/a/b.onnx failed:Protobuf parsing failed.')).toBe(
      'Protobuf parsing failed',
    );
  });
});
