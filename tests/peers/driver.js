// Runs the Node.js sample of the platform's documentation, spec_sample.js,
// unchanged: one JSON request on each line of input, one JSON answer for each.
//
//   {"op": "verify", "payload": hex, "signature": "t=…,v1=…", "secret": "…"}
//     -> {"accepted": bool, "produced": hex}   what the sample says, and the MAC it made
//   {"op": "post", … the same …}
//     -> {"status": 200 | 401}                 what the sample's Express route answers
//   {"op": "mac", "payload": hex, "t": "…", "secret": "…"}
//     -> {"produced": hex}                     the same MAC, over bytes
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const readline = require('readline');

const source = fs.readFileSync(path.join(__dirname, 'spec_sample.js'), 'utf8');

// The sample keeps the MAC it makes to itself: it is seen where it is compared.
let produced;
const watched = {
  ...crypto,
  timingSafeEqual(received, expected) {
    produced = expected.toString();
    return crypto.timingSafeEqual(received, expected);
  },
};
const load = new Function('require', 'app', 'WEBHOOK_SECRET', 'console',
  `${source}\nreturn verifyWebhookSignature;`);
const quiet = { log() {} };

function verify({ payload, signature, secret }) {
  const sample = load(() => watched, { post() {} }, secret, quiet);
  produced = null;
  let accepted = false;
  try {
    accepted = sample(Buffer.from(payload, 'hex').toString('utf8'), signature, secret);
  } catch (error) {
    // timingSafeEqual throws where the lengths differ.
    if (!(error instanceof RangeError)) throw error;
  }
  return { accepted, produced };
}

function post({ payload, signature, secret }) {
  let route;
  load(() => watched, { post(_, handler) { route = handler; } }, secret, quiet);
  const answer = { status(code) { answer.code = code; return answer; }, send() {} };
  const body = JSON.parse(Buffer.from(payload, 'hex').toString('utf8'));
  route({ headers: { 'x-dataflow-signature': signature }, body }, answer);
  return { status: answer.code };
}

function mac({ payload, t, secret }) {
  const made = crypto.createHmac('sha256', secret).update(`${t}.`)
    .update(Buffer.from(payload, 'hex'));
  return { produced: made.digest('hex') };
}

const operations = { verify, post, mac };
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(operations[request.op](request))}\n`);
});
