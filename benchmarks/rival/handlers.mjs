// The application's own API in Node.js: the least a handler can do for each route.
import {
  ApiGatewayManagementApiClient,
  PostToConnectionCommand,
} from "@aws-sdk/client-apigatewaymanagementapi";
import {
  CreateTableCommand,
  DeleteItemCommand,
  DynamoDBClient,
  PutItemCommand,
  ScanCommand,
} from "@aws-sdk/client-dynamodb";

const TableName = process.env.TABLE_NAME;
const region = "us-east-1";
const database = new DynamoDBClient({ region, endpoint: process.env.DYNAMODB_URL });
const connections = new ApiGatewayManagementApiClient({
  region,
  endpoint: process.env.MANAGEMENT_URL,
});

const post = (ConnectionId, frame) =>
  connections.send(new PostToConnectionCommand({ ConnectionId, Data: JSON.stringify(frame) }));

export const createTable = () =>
  database.send(
    new CreateTableCommand({
      TableName,
      KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
      AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
      BillingMode: "PAY_PER_REQUEST",
    }),
  );

export const authorize = async (event) => {
  const token = event.headers.token ?? event.headers.Token;
  if (token !== "hello") throw new Error("Unauthorized");
  const Statement = [{ Action: "execute-api:Invoke", Effect: "Allow", Resource: event.methodArn }];
  return { principalId: "client", policyDocument: { Version: "2012-10-17", Statement } };
};

export const connect = async (event) => {
  const id = { S: event.requestContext.connectionId };
  await database.send(new PutItemCommand({ TableName, Item: { id } }));
  return { statusCode: 200 };
};

export const disconnect = async (event) => {
  const id = { S: event.requestContext.connectionId };
  await database.send(new DeleteItemCommand({ TableName, Key: { id } }));
  return { statusCode: 200 };
};

export const ping = async (event) => {
  const { id } = JSON.parse(event.body);
  await post(event.requestContext.connectionId, { type: "reply", id });
  return { statusCode: 200 };
};

export const sendmessage = async (event) => {
  const { message } = JSON.parse(event.body);
  const ids = [];
  let ExclusiveStartKey;
  do {
    const page = await database.send(new ScanCommand({ TableName, ExclusiveStartKey }));
    ids.push(...page.Items.map((item) => item.id.S));
    ExclusiveStartKey = page.LastEvaluatedKey;
  } while (ExclusiveStartKey);
  const frame = { type: "message", message };
  const outcomes = await Promise.allSettled(ids.map((id) => post(id, frame)));
  const delivered = outcomes.filter((outcome) => outcome.status === "fulfilled").length;
  await post(event.requestContext.connectionId, { type: "reply", result: { delivered } });
  return { statusCode: 200 };
};
