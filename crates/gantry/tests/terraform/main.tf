# What Terraform makes of ECS: every kind of resource that acts. Applied, found unchanged, altered, found unchanged, destroyed.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" {}
variable "wanted" { default = 1 }
variable "command" { default = "sleep 600" }
data "aws_caller_identity" "me" {}
data "aws_vpc" "default" {
  default = true
}
data "aws_subnets" "all" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}
resource "aws_ecs_account_setting_default" "trunking" {
  name  = "awsvpcTrunking"
  value = "enabled"
}
resource "aws_ecs_capacity_provider" "hosts" {
  name = "hosts"
  auto_scaling_group_provider {
    auto_scaling_group_arn = "arn:aws:autoscaling:us-east-1:000000000000:autoScalingGroup:11111111-1111-1111-1111-111111111111:autoScalingGroupName/hosts"
    managed_scaling {
      status = "DISABLED"
    }
  }
}
resource "aws_ecs_cluster" "blue" {
  name = "blue"
  setting {
    name  = "containerInsights"
    value = "disabled"
  }
  tags = { team = "blue" }
}
resource "aws_ecs_cluster_capacity_providers" "blue" {
  cluster_name       = aws_ecs_cluster.blue.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT", aws_ecs_capacity_provider.hosts.name]
  default_capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = 1
    weight            = 100
  }
}
data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}
resource "aws_iam_role" "task" {
  name                 = "web-task"
  path                 = "/web/"
  description          = "Runs ${var.command}"
  max_session_duration = 3600 * var.wanted
  assume_role_policy   = data.aws_iam_policy_document.tasks.json
  tags                 = { team = "blue", wanted = var.wanted }
}
resource "aws_iam_role_policy" "read" {
  name   = "read"
  role   = aws_iam_role.task.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = ["s3:GetObject"], Resource = "*" }] })
}
resource "aws_iam_policy" "write" {
  name        = "write"
  path        = "/web/"
  description = "Writes"
  policy      = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = ["s3:PutObject"], Resource = "arn:aws:s3:::web-${var.wanted}/*" }] })
  tags        = { wanted = var.wanted }
}
resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.task.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}
resource "aws_iam_role_policy_attachment" "write" {
  role       = aws_iam_role.task.name
  policy_arn = aws_iam_policy.write.arn
}
resource "aws_iam_instance_profile" "hosts" {
  name = "hosts"
  role = aws_iam_role.task.name
}
data "aws_iam_policy" "execution" {
  arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}
resource "aws_ecs_task_definition" "web" {
  family                   = "web"
  execution_role_arn       = aws_iam_role.task.arn
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"
  container_definitions = jsonencode([{
    name      = "main"
    image     = "busybox"
    command   = ["sh", "-c", "trap 'exit 0' TERM; ${var.command} & wait"]
    essential = true
  }])
}
# Nothing gives a task the rights of a role yet: the definition keeps it, and is not run.
resource "aws_ecs_task_definition" "role" {
  family             = "role"
  task_role_arn      = aws_iam_role.task.arn
  execution_role_arn = aws_iam_role.task.arn
  container_definitions = jsonencode([{
    name      = "main"
    image     = "busybox"
    memory    = 16
    essential = true
  }])
}
resource "aws_ssm_parameter" "password" {
  name        = "/web/password"
  type        = "SecureString"
  value       = "secret ${var.command}"
  description = "Of the database"
  tags        = { wanted = var.wanted }
}
resource "aws_ssm_parameter" "url" {
  name  = "/web/url"
  type  = "String"
  value = "http://web/${var.wanted}"
}
data "aws_ssm_parameter" "password" {
  name = aws_ssm_parameter.password.name
}
resource "aws_secretsmanager_secret" "key" {
  name                    = "web/key"
  description             = "For ${var.command}"
  recovery_window_in_days = 0
  tags                    = { wanted = var.wanted }
}
resource "aws_secretsmanager_secret_version" "key" {
  secret_id     = aws_secretsmanager_secret.key.id
  secret_string = "secret ${var.command}"
}
resource "aws_iam_service_linked_role" "ecs" {
  aws_service_name = "ecs.amazonaws.com"
}
data "aws_resourcegroupstaggingapi_resources" "blue" {
  resource_type_filters = ["ecs:cluster"]
  depends_on            = [aws_ecs_cluster.blue]
}
resource "aws_ecs_service" "web" {
  name                  = "web"
  cluster               = aws_ecs_cluster.blue.id
  task_definition       = aws_ecs_task_definition.web.arn
  desired_count         = var.wanted
  launch_type           = "FARGATE"
  wait_for_steady_state = true
  force_delete          = true
  network_configuration {
    subnets          = data.aws_subnets.all.ids
    assign_public_ip = true
  }
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  tags = { team = "blue" }
}
resource "aws_ecs_service" "outside" {
  name          = "outside"
  cluster       = aws_ecs_cluster.blue.id
  desired_count = 1
  deployment_controller {
    type = "EXTERNAL"
  }
  # A tag of it is another resource's.
  lifecycle {
    ignore_changes = [tags, tags_all]
  }
}
resource "aws_ecs_task_set" "one" {
  service         = aws_ecs_service.outside.id
  cluster         = aws_ecs_cluster.blue.id
  task_definition = aws_ecs_task_definition.web.arn
  launch_type     = "FARGATE"
  network_configuration {
    subnets = data.aws_subnets.all.ids
  }
  scale {
    value = 100
  }
  wait_until_stable = true
  force_delete      = true
}
resource "aws_ecs_tag" "extra" {
  resource_arn = aws_ecs_service.outside.id
  key          = "colour"
  value        = "green"
}
