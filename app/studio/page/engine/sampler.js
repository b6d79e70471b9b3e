// Sampling: noise becomes latents in the steps that the manifest tells. A step of a deterministic solver is linear in the
// noisy latents and the network's predictions of this step and the last one, so it is a few numbers; the build reads them
// off the scheduler that Python samples with. Guidance is that of models/motion/model.py.

// predict(noisy, timestep, seesPhoto) -> what the network predicts, a promise; told(done) is awaited after each step.
export async function sampleLatents(noise, { steps, guidance }, predict, told) {
  let noisy = noise;
  let past = null; // noisy latents and prediction of the step before
  for (const [done, { timestep, noisy: keep, prediction: weight, before }] of steps.entries()) {
    const prediction = await guided(noisy, timestep, guidance, predict);
    const next = new Float32Array(noisy.length);
    for (let p = 0; p < next.length; p++) {
      next[p] = keep * noisy[p] + weight * prediction[p];
      if (past) next[p] += before[0] * past.noisy[p] + before[1] * past.prediction[p];
    }
    past = { noisy, prediction };
    noisy = next;
    await told(done + 1);
  }
  return noisy;
}

async function guided(noisy, timestep, weight, predict) {
  const output = await predict(noisy, timestep, true);
  if (weight === 0) return output;
  const blind = await predict(noisy, timestep, false);
  return Float32Array.from(output, (value, p) => (1 + weight) * value - weight * blind[p]);
}
