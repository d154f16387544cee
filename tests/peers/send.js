// Sends deliveries with fetch: one JSON request on each line of input, one JSON
// answer for each, in order.
//
//   {"url": "…", "signature": "…", "body": hex}   or, of so many blanks, "blanks": n
//     -> {"status": n} | {"error": "…"}
'use strict';
const readline = require('readline');

async function send({ url, signature, body, blanks }) {
  const headers = { 'Content-Type': 'application/json' };
  if (signature) headers['X-DataFlow-Signature'] = signature;
  const bytes = body === undefined ? Buffer.alloc(blanks, ' ') : Buffer.from(body, 'hex');
  try {
    const answer = await fetch(url, { method: 'POST', headers, body: bytes });
    await answer.text();
    return { status: answer.status };
  } catch (error) {
    return { error: `${error}: ${error.cause}` };
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await send(JSON.parse(line)))}\n`);
  }
})();
