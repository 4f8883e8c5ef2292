const { Webhook } = require("standardwebhooks");
const secret = "whsec_" + Buffer.from("prodpointer test secret, 32 byte").toString("base64");
const body = '{"specversion": "1.0", "id": "evt_0123456789abcdef0123456789abcdef", "subject": "caf\\u00e9@production"}';
const at = new Date(1790000000 * 1000);
const id = "evt_0123456789abcdef0123456789abcdef";
console.log(JSON.stringify({ secret, id, timestamp: String(Math.floor(at / 1000)), body, signature: new Webhook(secret).sign(id, at, body) }, null, 2));
