// AWS's SDK for JavaScript, version 3, with its connections kept.
import { Agent } from "node:https";
import { Agent as PlainAgent } from "node:http";
import {
  ApiGatewayManagementApiClient,
  PostToConnectionCommand,
} from "@aws-sdk/client-apigatewaymanagementapi";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const [endpoint, posts, atOnce] = [process.argv[2], +process.argv[3], +process.argv[4]];
const agent = { keepAlive: true, maxSockets: atOnce };
const client = new ApiGatewayManagementApiClient({
  endpoint,
  region: "us-east-1",
  maxAttempts: 1,
  credentials: {
    accessKeyId: "AKIDEXAMPLE",
    secretAccessKey: "secret",
    sessionToken: "token".repeat(100),
  },
  requestHandler: new NodeHttpHandler({
    httpsAgent: new Agent(agent),
    httpAgent: new PlainAgent(agent),
  }),
});
const Data = Buffer.alloc(100, "x");

async function run(number) {
  let next = 0;
  const work = async () => {
    while (next < number) {
      const ConnectionId = `L0SM9cOFvHcCI${String(next++).padStart(6, "0")}=`;
      await client.send(new PostToConnectionCommand({ ConnectionId, Data }));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

await run(posts / 10);
const before = process.cpuUsage();
const started = process.hrtime.bigint();
await run(posts);
const { user, system } = process.cpuUsage(before);
const wall = Number(process.hrtime.bigint() - started) / 1e9;
console.log(JSON.stringify({ cpu: (user + system) / 1e6, wall }));
process.exit(0);
