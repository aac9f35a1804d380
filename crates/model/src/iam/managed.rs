//! Policies of AWS's that people attach to roles of ECS. They exist in every account; others are not known here. Their
//! documents name the actions that AWS's allow, each in one statement: AWS's own divide some by resources and conditions.

/// A policy of AWS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagedPolicy {
    /// Its name.
    pub name: &'static str,
    /// Begins and ends with `/`.
    pub path: &'static str,
    /// The actions that it allows, with spaces between them.
    actions: &'static str,
}

/// What CodeDeploy does for services of ECS; the limited policy differs in its resources, which are not written out here.
const CODE_DEPLOY: &str = "ecs:DescribeServices ecs:CreateTaskSet ecs:UpdateServicePrimaryTaskSet ecs:DeleteTaskSet elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:DescribeListeners elasticloadbalancing:ModifyListener elasticloadbalancing:DescribeRules elasticloadbalancing:ModifyRule lambda:InvokeFunction cloudwatch:DescribeAlarms sns:Publish s3:GetObject s3:GetObjectVersion iam:PassRole";

/// Where AWS keeps those for roles that its services assume.
const SERVICE: &str = "/service-role/";
/// And those of roles that are linked to a service.
const LINKED: &str = "/aws-service-role/";

const fn policy(path: &'static str, name: &'static str, actions: &'static str) -> ManagedPolicy {
    ManagedPolicy { name, path, actions }
}

const POLICIES: [ManagedPolicy; 31] = [
    policy(
        "/",
        "AWSXRayDaemonWriteAccess",
        "xray:PutTraceSegments xray:PutTelemetryRecords xray:GetSamplingRules xray:GetSamplingTargets xray:GetSamplingStatisticSummaries",
    ),
    policy("/", "AdministratorAccess", "*"),
    policy("/", "AmazonDynamoDBFullAccess", "dynamodb:* dax:*"),
    policy("/", "AmazonEC2ContainerRegistryFullAccess", "ecr:* cloudtrail:LookupEvents"),
    policy(
        "/",
        "AmazonEC2ContainerRegistryPowerUser",
        "ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:GetRepositoryPolicy ecr:DescribeRepositories ecr:ListImages ecr:DescribeImages ecr:BatchGetImage ecr:GetLifecyclePolicy ecr:GetLifecyclePolicyPreview ecr:ListTagsForResource ecr:DescribeImageScanFindings ecr:InitiateLayerUpload ecr:UploadLayerPart ecr:CompleteLayerUpload ecr:PutImage",
    ),
    policy(
        "/",
        "AmazonEC2ContainerRegistryPullOnly",
        "ecr:GetAuthorizationToken ecr:BatchGetImage ecr:GetDownloadUrlForLayer ecr:BatchImportUpstreamImage",
    ),
    policy(
        "/",
        "AmazonEC2ContainerRegistryReadOnly",
        "ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:GetRepositoryPolicy ecr:DescribeRepositories ecr:ListImages ecr:DescribeImages ecr:BatchGetImage ecr:GetLifecyclePolicy ecr:GetLifecyclePolicyPreview ecr:ListTagsForResource ecr:DescribeImageScanFindings",
    ),
    policy(
        "/",
        "AmazonECS_FullAccess",
        "application-autoscaling:* autoscaling:* cloudformation:* cloudwatch:* codedeploy:* ec2:* ecs:* elasticloadbalancing:* events:* iam:ListRoles iam:PassRole logs:* route53:* servicediscovery:* sns:ListTopics",
    ),
    policy(
        "/",
        "AmazonElasticFileSystemClientReadWriteAccess",
        "elasticfilesystem:ClientMount elasticfilesystem:ClientWrite elasticfilesystem:DescribeMountTargets",
    ),
    policy("/", "AmazonS3FullAccess", "s3:* s3-object-lambda:*"),
    policy("/", "AmazonS3ReadOnlyAccess", "s3:Get* s3:List* s3:Describe* s3-object-lambda:Get* s3-object-lambda:List*"),
    policy("/", "AmazonSNSFullAccess", "sns:*"),
    policy("/", "AmazonSQSFullAccess", "sqs:*"),
    policy(
        "/",
        "AmazonSSMManagedInstanceCore",
        "ssm:DescribeAssociation ssm:GetDeployablePatchSnapshotForInstance ssm:GetDocument ssm:DescribeDocument ssm:GetManifest ssm:GetParameter ssm:GetParameters ssm:ListAssociations ssm:ListInstanceAssociations ssm:PutInventory ssm:PutComplianceItems ssm:PutConfigurePackageResult ssm:UpdateAssociationStatus ssm:UpdateInstanceAssociationStatus ssm:UpdateInstanceInformation ssmmessages:CreateControlChannel ssmmessages:CreateDataChannel ssmmessages:OpenControlChannel ssmmessages:OpenDataChannel ec2messages:AcknowledgeMessage ec2messages:DeleteMessage ec2messages:FailMessage ec2messages:GetEndpoint ec2messages:GetMessages ec2messages:SendReply",
    ),
    policy("/", "AmazonSSMReadOnlyAccess", "ssm:Describe* ssm:Get* ssm:List*"),
    policy(
        "/",
        "CloudWatchAgentServerPolicy",
        "cloudwatch:PutMetricData ec2:DescribeVolumes ec2:DescribeTags logs:PutLogEvents logs:PutRetentionPolicy logs:DescribeLogStreams logs:DescribeLogGroups logs:CreateLogStream logs:CreateLogGroup xray:PutTraceSegments xray:PutTelemetryRecords xray:GetSamplingRules xray:GetSamplingTargets xray:GetSamplingStatisticSummaries ssm:GetParameter",
    ),
    policy("/", "CloudWatchFullAccess", "autoscaling:Describe* cloudwatch:* logs:* sns:*"),
    policy("/", "CloudWatchLogsFullAccess", "logs:* cloudwatch:GenerateQuery"),
    policy(
        "/",
        "SecretsManagerReadWrite",
        "secretsmanager:* cloudformation:CreateChangeSet cloudformation:DescribeChangeSet cloudformation:DescribeStackResource cloudformation:DescribeStacks cloudformation:ExecuteChangeSet ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcs kms:DescribeKey kms:ListAliases kms:ListKeys lambda:ListFunctions tag:GetResources",
    ),
    policy("/", "AWSCodeDeployRoleForECS", CODE_DEPLOY),
    policy("/", "AWSCodeDeployRoleForECSLimited", CODE_DEPLOY),
    policy(
        "/",
        "AmazonECSInfrastructureRolePolicyForLoadBalancers",
        "elasticloadbalancing:DescribeListeners elasticloadbalancing:DescribeRules elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:DescribeTargetHealth elasticloadbalancing:ModifyListener elasticloadbalancing:ModifyRule elasticloadbalancing:RegisterTargets elasticloadbalancing:DeregisterTargets",
    ),
    policy(
        SERVICE,
        "AmazonEC2ContainerServiceAutoscaleRole",
        "ecs:DescribeServices ecs:UpdateService cloudwatch:DescribeAlarms cloudwatch:PutMetricAlarm",
    ),
    policy(SERVICE, "AmazonEC2ContainerServiceEventsRole", "ecs:RunTask iam:PassRole ecs:TagResource"),
    policy(
        SERVICE,
        "AmazonEC2ContainerServiceRole",
        "ec2:AuthorizeSecurityGroupIngress ec2:Describe* elasticloadbalancing:DeregisterInstancesFromLoadBalancer elasticloadbalancing:DeregisterTargets elasticloadbalancing:Describe* elasticloadbalancing:RegisterInstancesWithLoadBalancer elasticloadbalancing:RegisterTargets",
    ),
    policy(
        SERVICE,
        "AmazonEC2ContainerServiceforEC2Role",
        "ec2:DescribeTags ecs:CreateCluster ecs:DeregisterContainerInstance ecs:DiscoverPollEndpoint ecs:Poll ecs:RegisterContainerInstance ecs:StartTelemetrySession ecs:UpdateContainerInstancesState ecs:Submit* ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:BatchGetImage logs:CreateLogStream logs:PutLogEvents ecs:TagResource",
    ),
    policy(
        SERVICE,
        "AmazonECSInfrastructureRolePolicyForServiceConnectTransportLayerSecurity",
        "secretsmanager:CreateSecret secretsmanager:DeleteSecret secretsmanager:DescribeSecret secretsmanager:RotateSecret secretsmanager:TagResource secretsmanager:UpdateSecretVersionStage acm-pca:DescribeCertificateAuthority acm-pca:GetCertificate acm-pca:GetCertificateAuthorityCertificate acm-pca:IssueCertificate",
    ),
    policy(
        SERVICE,
        "AmazonECSInfrastructureRolePolicyForVolumes",
        "ec2:AttachVolume ec2:CreateTags ec2:CreateVolume ec2:DeleteVolume ec2:DescribeAvailabilityZones ec2:DescribeInstances ec2:DescribeVolumes ec2:DetachVolume",
    ),
    policy(
        SERVICE,
        "AmazonECSInfrastructureRolePolicyForVpcLattice",
        "ec2:DescribeSubnets ec2:DescribeVpcs vpc-lattice:DeregisterTargets vpc-lattice:GetTargetGroup vpc-lattice:ListTargets vpc-lattice:RegisterTargets",
    ),
    policy(
        SERVICE,
        "AmazonECSTaskExecutionRolePolicy",
        "ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:BatchGetImage logs:CreateLogStream logs:PutLogEvents",
    ),
    policy(
        LINKED,
        "AmazonECSServiceRolePolicy",
        "autoscaling:Describe* autoscaling:PutScalingPolicy cloudwatch:DeleteAlarms cloudwatch:DescribeAlarms cloudwatch:PutMetricAlarm ec2:AttachNetworkInterface ec2:CreateNetworkInterface ec2:CreateNetworkInterfacePermission ec2:DeleteNetworkInterface ec2:DeleteNetworkInterfacePermission ec2:CreateTags ec2:Describe* ec2:DetachNetworkInterface elasticloadbalancing:DeregisterTargets elasticloadbalancing:Describe* elasticloadbalancing:RegisterTargets logs:CreateLogGroup logs:DescribeLogGroups logs:PutRetentionPolicy route53:* servicediscovery:*",
    ),
];

impl ManagedPolicy {
    /// `arn:aws:iam::aws:policy/…`.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy{}{}", self.path, self.name)
    }

    /// `ANPA…`, always the same of one name.
    pub fn id(&self) -> Box<str> {
        let mixed = |seed: u64| {
            let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            self.name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, step)
        };
        let bits = u128::from(mixed(0)) << 64 | u128::from(mixed(0x9e37_79b9_7f4a_7c15));
        super::id("ANPA", bits.to_be_bytes())
    }

    /// A policy for a role that is linked to a service cannot be attached by hand.
    pub fn is_attachable(&self) -> bool {
        self.path != LINKED
    }

    /// Its document.
    pub fn document(&self) -> String {
        let actions: Vec<&str> = self.actions.split(' ').collect();
        let statement = serde_json::json!({"Effect": "Allow", "Action": actions, "Resource": "*"});
        serde_json::json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
    }
}

/// All of them that are known here.
pub fn managed() -> &'static [ManagedPolicy] {
    &POLICIES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_policies_with_names_and_ids_of_their_own() {
        let mut seen = std::collections::BTreeSet::new();
        for policy in managed() {
            assert!(seen.insert(policy.name.to_owned()) && seen.insert(policy.id().to_string()), "{}", policy.name);
            assert_eq!(
                super::super::check(&policy.document(), super::super::Fits::Identity),
                Ok(()),
                "{}",
                policy.name
            );
        }
        let arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
        assert!(managed().iter().any(|policy| policy.arn() == arn));
    }
}
