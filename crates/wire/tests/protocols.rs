//! The protocols from outside: what a request is taken for, and the bytes of answers and faults.

use wire::http::{
    Answer, BODY_BYTES_MAX, Call, HttpRequest, Operation, Protocol, Target, adapt, decode, encode, route,
};
use wire::{Fault, Timestamp, ec2, ecs, gantry, iam, sts, tagging};

type Headers = Vec<wire::http::Header<'static>>;

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned().into())).collect()
}

fn post<'a>(headers: &'a Headers, body: &'a [u8]) -> HttpRequest<'a> {
    HttpRequest { method: "POST", path: "/", query: "", headers, body }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

const CBOR: (&str, &str) = ("smithy-protocol", "rpc-v2-cbor");

fn target(name: &str) -> Headers {
    headers(&[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", name)])
}

fn read(request: &HttpRequest<'_>) -> Result<Call, Fault> {
    let target = route(request).map_err(|(_, fault)| fault)?;
    decode(request, target)
}

#[test]
fn json_requests_find_their_operation() {
    for operation in ecs::Operation::ALL.iter().copied() {
        let headers = target(operation.target());
        assert_eq!(route(&post(&headers, b"{}")), Ok(Target::from(Operation::Ecs(operation))));
        assert_eq!(ecs::Operation::from_name(operation.name()), Some(operation));
    }
    let headers = target("Gantry_20261101.DescribeServer");
    let call = read(&post(&headers, b"")).unwrap();
    assert_eq!(call.name(), "gantry:DescribeServer");
    let headers = target("AmazonEC2ContainerServiceV20141113.RunTask");
    let call = read(&post(&headers, br#"{"taskDefinition":"t","count":2}"#)).unwrap();
    let wanted = ecs::RunTaskRequest { task_definition: "t".to_owned(), count: Some(2), ..Default::default() };
    assert_eq!(call, Call::Ecs(wanted.into()));
    assert_eq!(call.name(), "ecs:RunTask");
}

#[test]
fn what_is_asked_in_cbor_is_answered_in_cbor() {
    let headers = headers(&[CBOR, ("content-type", "application/cbor")]);
    let path = "/service/ResourceGroupsTaggingAPI_20170126/operation/GetTagValues";
    // {"Key": "team"}
    let request = HttpRequest { path, ..post(&headers, b"\xa1\x63Key\x64team") };
    let found = route(&request).unwrap();
    assert_eq!(found.protocol, Protocol::Cbor);
    let wanted = tagging::GetTagValuesInput { key: "team".to_owned(), ..Default::default() };
    assert_eq!(decode(&request, found).unwrap(), Call::Tagging(wanted.into()));
    let bad = HttpRequest { body: b"\xa1\x63Key", ..request };
    assert_eq!(decode(&bad, found).unwrap_err().code, "SerializationException");
    let output = tagging::GetTagValuesOutput { tag_values: Some(vec!["a".to_owned()]), ..Default::default() };
    let response = tagging::Response::GetTagValues(Box::new(output));
    let answer = encode(found.protocol, Ok(Answer::Tagging(response)), "id");
    assert_eq!(answer.body, b"\xa1\x69TagValues\x81\x61a");
    let said = |name, value: &str| answer.headers.contains(&(name, value.to_owned()));
    assert!(said("content-type", "application/cbor") && said("smithy-protocol", "rpc-v2-cbor"));
    let answer = encode(found.protocol, Err(Fault::new("ThrottledException", 400, "no")), "id");
    assert_eq!((answer.status, answer.body), (400, b"\xa2\x66__type\x72ThrottledException\x67message\x62no".to_vec()));
}

#[test]
fn what_is_no_request_of_ours_is_refused_and_never_a_server_fault() {
    let list = target("AmazonEC2ContainerServiceV20141113.ListClusters");
    let unknown = target("AmazonEC2ContainerServiceV20141113.MakeCoffee");
    let other_service = target("DynamoDB_20120810.ListTables");
    let no_dot = target("ListClusters");
    let none = headers(&[]);
    let form = headers(&[FORM]);
    let big = vec![b' '; BODY_BYTES_MAX + 1];
    let ecs_form = headers(&[FORM, ("authorization", "AWS4-HMAC-SHA256 Credential=A/d/r/ecs/aws4_request, x")]);
    let cbor = headers(&[CBOR]);
    let coffee = "/service/ResourceGroupsTaggingAPI_20170126/operation/MakeCoffee";
    let in_json = "/service/AmazonEC2ContainerServiceV20141113/operation/ListClusters";
    let cases: Vec<(HttpRequest<'_>, Protocol, &str, u16)> = vec![
        (post(&cbor, b""), Protocol::Cbor, "UnknownOperationException", 404),
        (HttpRequest { path: coffee, ..post(&cbor, b"") }, Protocol::Cbor, "UnknownOperationException", 400),
        (HttpRequest { path: in_json, ..post(&cbor, b"") }, Protocol::Cbor, "UnknownOperationException", 400),
        (HttpRequest { path: coffee, ..post(&cbor, &big) }, Protocol::Cbor, "RequestEntityTooLargeException", 413),
        (post(&unknown, b"{}"), Protocol::Json11, "UnknownOperationException", 400),
        (post(&other_service, b"{}"), Protocol::Json11, "UnknownOperationException", 400),
        (post(&no_dot, b"{}"), Protocol::Json11, "UnknownOperationException", 400),
        (HttpRequest { method: "GET", ..post(&list, b"") }, Protocol::Json11, "UnknownOperationException", 404),
        (HttpRequest { path: "/v1", ..post(&list, b"") }, Protocol::Json11, "UnknownOperationException", 404),
        (HttpRequest { method: "GET", ..post(&none, b"") }, Protocol::Json11, "UnknownOperationException", 404),
        (post(&none, b"hello"), Protocol::Json11, "UnknownOperationException", 404),
        (post(&list, &big), Protocol::Json11, "RequestEntityTooLargeException", 413),
        (post(&form, b""), Protocol::Query, "MissingAction", 400),
        (post(&form, b"Action=MakeCoffee"), Protocol::Query, "InvalidAction", 400),
        (post(&ecs_form, b"Action=ListClusters"), Protocol::Query, "InvalidAction", 400),
        (post(&form, b"Action=RunInstances&Version=2016-11-15"), Protocol::Ec2Query, "InvalidAction", 400),
        (post(&form, b"\xff%%%&&==&=x"), Protocol::Query, "MissingAction", 400),
    ];
    for (request, protocol, code, status) in cases {
        let (answered, fault) = route(&request).unwrap_err();
        assert_eq!((answered, fault.code.as_ref(), fault.status), (protocol, code, status), "{request:?}");
    }
    let (_, fault) = route(&post(&unknown, b"{}")).unwrap_err();
    assert!(fault.message.contains("MakeCoffee"));
}

#[test]
fn query_requests_find_their_service() {
    let form = headers(&[FORM]);
    let sts = Operation::Sts(sts::Operation::GetCallerIdentity);
    let vpcs = Operation::Ec2(ec2::Operation::DescribeVpcs);
    let found = |headers: &Headers, body: &[u8]| route(&post(headers, body)).map(|target| target.operation);
    assert_eq!(found(&form, b"Action=GetCallerIdentity&Version=2011-06-15"), Ok(sts));
    assert_eq!(found(&form, b"Action=DescribeVpcs&Version=2016-11-15"), Ok(vpcs));
    assert_eq!(found(&form, b"Action=DescribeVpcs"), Ok(vpcs));
    let scoped = headers(&[FORM, ("authorization", "AWS4-HMAC-SHA256 Credential=A/20150830/r/ec2/aws4_request, x")]);
    assert_eq!(found(&scoped, b"Action=DescribeVpcs"), Ok(vpcs));
    assert!(found(&scoped, b"Action=GetCallerIdentity").is_err());
    let none = headers(&[]);
    let by_address =
        HttpRequest { method: "GET", query: "Action=GetCallerIdentity&Version=2011-06-15", ..post(&none, b"") };
    assert_eq!(route(&by_address).map(|target| target.operation), Ok(sts));
}

#[test]
fn ec2_forms_are_read() {
    let form = headers(&[FORM]);
    let body = b"Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-1&VpcId.2=vpc-2&Filter.1.Name=tag%3Aa+b&Filter.1.Value.1=x&Filter.1.Value.2=y&Filter.2.Name=state&MaxResults=5&DryRun=false";
    let Call::Ec2(ec2::Request::DescribeVpcs(input)) = read(&post(&form, body)).unwrap() else {
        panic!("not DescribeVpcs");
    };
    let filter = |name: &str, values: Option<Vec<String>>| ec2::Filter { name: Some(name.to_owned()), values };
    let wanted = ec2::DescribeVpcsRequest {
        vpc_ids: Some(vec!["vpc-1".to_owned(), "vpc-2".to_owned()]),
        filters: Some(vec![filter("tag:a b", Some(vec!["x".to_owned(), "y".to_owned()])), filter("state", None)]),
        max_results: Some(5),
        dry_run: Some(false),
        next_token: None,
    };
    assert_eq!(*input, wanted);
    for (parameter, message) in [
        ("MaxResults=4", "MaxResults: the value must be between 5 and 1000, got 4"),
        ("MaxResults=x", "MaxResults: expected an integer, got \"x\""),
    ] {
        let body = format!("Action=DescribeVpcs&Version=2016-11-15&{parameter}");
        let fault = read(&post(&form, body.as_bytes())).unwrap_err();
        assert_eq!((fault.code.as_ref(), fault.message.as_str()), ("InvalidParameterValue", message));
    }
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

#[test]
fn json_answers_and_faults() {
    let response = ecs::Response::ListClusters(Box::default());
    let answer = encode(Protocol::Json11, Ok(Answer::Ecs(response)), "id-1");
    assert_eq!((answer.status, text(answer.body).as_str()), (200, "{}"));
    assert!(answer.headers.contains(&("content-type", "application/x-amz-json-1.1".to_owned())));
    assert!(answer.headers.contains(&("x-amzn-requestid", "id-1".to_owned())));
    let fault = ecs::fault::conflict("it \"exists\"", vec!["arn:1".to_owned()]);
    let answer = encode(Protocol::Json11, Err(fault), "id-2");
    assert_eq!(answer.status, 400);
    assert_eq!(
        text(answer.body),
        r#"{"__type":"ConflictException","message":"it \"exists\"","resourceIds":["arn:1"]}"#
    );
    assert_eq!(encode(Protocol::Json11, Err(ecs::fault::server("x")), "").status, 500);
    let response = gantry::Response::DescribeServer(Box::new(gantry::DescribeServerResponse {
        tasks: Some(3),
        ..Default::default()
    }));
    let answer = encode(Protocol::Json11, Ok(Answer::Gantry(response)), "id");
    assert_eq!(text(answer.body), r#"{"tasks":3}"#);
}

#[test]
fn sts_answers_and_faults() {
    let response = sts::Response::GetCallerIdentity(Box::new(sts::GetCallerIdentityResponse {
        account: Some("123456789012".to_owned()),
        arn: Some("arn:aws:iam::123456789012:user/<a>&b\u{1}".to_owned()),
        user_id: None,
    }));
    let answer = encode(Protocol::Query, Ok(Answer::Sts(response)), "id-1");
    assert_eq!(
        text(answer.body),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Account>123456789012</Account><Arn>arn:aws:iam::123456789012:user/&lt;a&gt;&amp;b\u{fffd}</Arn></GetCallerIdentityResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    );
    let answer = encode(Protocol::Query, Err(Fault::new("UnrecognizedClientException", 400, "no")), "id-2");
    assert_eq!(answer.status, 403);
    assert_eq!(
        text(answer.body),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>no</Message></Error><RequestId>id-2</RequestId></ErrorResponse>"
    );
}

#[test]
fn ec2_answers_and_faults() {
    let vpc = ec2::Vpc {
        vpc_id: Some("vpc-1".to_owned()),
        is_default: Some(true),
        state: Some(ec2::VpcState::Available),
        ..Default::default()
    };
    let output = ec2::DescribeVpcsResult { vpcs: Some(vec![vpc]), next_token: None };
    let response = ec2::Response::DescribeVpcs(Box::new(output));
    let answer = encode(Protocol::Ec2Query, Ok(Answer::Ec2(response)), "id-1");
    assert_eq!(
        text(answer.body),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeVpcsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>id-1</requestId><vpcSet><item><isDefault>true</isDefault><state>available</state><vpcId>vpc-1</vpcId></item></vpcSet></DescribeVpcsResponse>"
    );
    let answer = encode(Protocol::Ec2Query, Err(ec2::not_supported(ec2::Operation::DescribeVpcs)), "id-2");
    let body = text(answer.body);
    assert!(
        body.contains(
            "<Response><Errors><Error><Code>InvalidAction</Code><Message>DescribeVpcs is not supported yet: "
        ),
        "{body}"
    );
    assert!(body.ends_with("</Error></Errors><RequestID>id-2</RequestID></Response>"), "{body}");
    let attachment = ec2::NetworkInterfaceAttachment {
        attach_time: Some(Timestamp::from_millis(1_440_938_160_001)),
        ..Default::default()
    };
    let interface = ec2::NetworkInterface { attachment: Some(attachment), ..Default::default() };
    let output =
        ec2::DescribeNetworkInterfacesResult { network_interfaces: Some(vec![interface]), ..Default::default() };
    let response = ec2::Response::DescribeNetworkInterfaces(Box::new(output));
    let body = text(encode(Protocol::Ec2Query, Ok(Answer::Ec2(response)), "id").body);
    assert!(body.contains("<attachTime>2015-08-30T12:36:00.001Z</attachTime>"), "{body}");
}

#[test]
fn faults_are_worded_for_each_protocol() {
    let worded = |code: &'static str, protocol| {
        let fault = adapt(protocol, Fault::new(code, 400, ""));
        (fault.code.into_owned(), fault.status)
    };
    let known = |code: &str, status| (code.to_owned(), status);
    assert_eq!(worded("InvalidSignatureException", Protocol::Json11), known("InvalidSignatureException", 400));
    assert_eq!(worded("InvalidSignatureException", Protocol::Query), known("SignatureDoesNotMatch", 403));
    assert_eq!(worded("UnrecognizedClientException", Protocol::Ec2Query), known("AuthFailure", 401));
    assert_eq!(worded("MissingParameter", Protocol::Query), known("ValidationError", 400));
    assert_eq!(worded("MissingParameter", Protocol::Ec2Query), known("MissingParameter", 400));
    assert_eq!(worded("InvalidVpcID.NotFound", Protocol::Ec2Query), known("InvalidVpcID.NotFound", 400));
}

/// A handler that answers one operation and leaves the others.
struct Lists;

impl ecs::Ecs<u32> for Lists {
    fn list_clusters(
        &mut self,
        context: &u32,
        _: ecs::ListClustersRequest,
    ) -> Result<ecs::ListClustersResponse, Fault> {
        Ok(ecs::ListClustersResponse { cluster_arns: Some(vec![context.to_string()]), next_token: None })
    }
}

#[test]
fn dispatch_reaches_the_method_and_the_rest_is_not_supported() {
    let request = ecs::Request::from(ecs::ListClustersRequest::default());
    let answer = ecs::dispatch(&mut Lists, &7, request).unwrap();
    assert_eq!(answer.to_json(), r#"{"clusterArns":["7"]}"#);
    let request = ecs::Request::from(ecs::CreateGatewayRequest::default());
    let fault = ecs::dispatch(&mut Lists, &7, request).unwrap_err();
    assert_eq!((fault.code.as_ref(), fault.status), ("UnsupportedFeatureException", 400));
    assert!(fault.message.starts_with("CreateGateway is not supported yet: "));
    let request = ecs::Request::from(ecs::ListTasksRequest::default());
    let fault = ecs::dispatch(&mut Lists, &7, request).unwrap_err();
    assert_eq!(fault.code, "ClientException");
}

#[test]
fn operations_say_what_they_declare() {
    use ecs::Operation as Ecs;
    assert!(Ecs::RunTask.declared_faults().contains(&"ConflictException"));
    assert!(Ecs::ListTasks.is_read_only() && !Ecs::RunTask.is_read_only());
    for operation in Ecs::ALL {
        assert!(operation.declared_faults().contains(&"ClientException"), "{operation}");
    }
}

#[test]
fn iam_reads_lists_below_member_and_answers_with_members() {
    let signed = headers(&[FORM, ("authorization", "AWS4-HMAC-SHA256 Credential=A/d/r/iam/aws4_request, x")]);
    let body = b"Action=TagRole&Version=2010-05-08&RoleName=web&Tags.member.1.Key=a&Tags.member.1.Value=b%20c";
    let wanted = iam::TagRoleRequest {
        role_name: "web".to_owned(),
        tags: vec![iam::Tag { key: "a".to_owned(), value: "b c".to_owned() }],
    };
    let call = read(&post(&signed, body)).unwrap();
    assert_eq!((call.name(), call), ("iam:TagRole", Call::Iam(iam::Request::TagRole(Box::new(wanted)))));
    // A request that is not signed is told by its version.
    let unsigned = headers(&[FORM]);
    let call = read(&post(&unsigned, b"Action=GetRole&Version=2010-05-08&RoleName=web")).unwrap();
    assert_eq!(call.name(), "iam:GetRole");
    let (protocol, fault) = route(&post(&signed, b"Action=GetCallerIdentity&Version=2011-06-15")).unwrap_err();
    assert_eq!((protocol, fault.code.as_ref()), (Protocol::Query, "InvalidAction"));
    let bad: [&[u8]; 3] =
        [b"Action=GetRole&RoleName=a%20b", b"Action=ListRoles&PathPrefix=web", b"Action=ListPolicies&Scope=Mine"];
    for body in bad {
        let fault = adapt(Protocol::Query, read(&post(&signed, body)).unwrap_err());
        assert_eq!((fault.code.as_ref(), fault.status), ("ValidationError", 400), "{}", String::from_utf8_lossy(body));
    }
    let response = iam::Response::ListRolePolicies(Box::new(iam::ListRolePoliciesResponse {
        is_truncated: Some(false),
        marker: None,
        policy_names: Some(vec!["a".to_owned(), "b".to_owned()]),
    }));
    let answer = encode(Protocol::Query, Ok(Answer::Iam(response)), "id-1");
    assert_eq!(
        text(answer.body),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListRolePoliciesResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ListRolePoliciesResult><IsTruncated>false</IsTruncated><PolicyNames><member>a</member><member>b</member></PolicyNames></ListRolePoliciesResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></ListRolePoliciesResponse>"
    );
    assert_eq!(
        (iam::fault::no_such_entity("x").code.as_ref(), iam::fault::no_such_entity("x").status),
        ("NoSuchEntity", 404)
    );
}

#[test]
fn parameters_and_secrets_are_found_by_their_targets_and_values_are_never_printed() {
    let put = target("AmazonSSM.PutParameter");
    let call = read(&post(&put, br#"{"Name":"/a","Value":"hunter2","Type":"String"}"#)).unwrap();
    assert_eq!(call.name(), "ssm:PutParameter");
    assert!(!format!("{call:?}").contains("hunter2"));
    let fault = read(&post(&put, br#"{"Name":"","Value":"x"}"#)).unwrap_err();
    assert_eq!(fault.code, "ValidationException");
    let create = target("secretsmanager.CreateSecret");
    let call = read(&post(&create, br#"{"Name":"a","SecretString":"hunter2"}"#)).unwrap();
    assert_eq!(call.name(), "secretsmanager:CreateSecret");
    assert!(!format!("{call:?}").contains("hunter2"));
    let find = target("ResourceGroupsTaggingAPI_20170126.GetResources");
    assert_eq!(read(&post(&find, b"{}")).unwrap().name(), "resourcegroupstaggingapi:GetResources");
}
